-- FLOAT and DOUBLE compare by IEEE 754: -0.0 is 0.0, and NaN is neither equal to, less nor greater than anything.
-- in numbers
-- {"id":1,"d":-0.0}
-- {"id":2,"d":"NaN"}
-- {"id":3,"d":2.5}
-- {"id":4,"d":-2.5}
-- {"id":5,"d":null}
-- out compared
-- {"id":1,"eq":true,"ne":false,"lt":false,"le":true,"gt":false,"ge":true,"sg":"-0.0","inv":"-Infinity"}
-- {"id":2,"eq":false,"ne":true,"lt":false,"le":false,"gt":false,"ge":false,"sg":"NaN","inv":"NaN"}
-- {"id":3,"eq":false,"ne":true,"lt":false,"le":false,"gt":true,"ge":true,"sg":"1.0","inv":"1.0"}
-- {"id":4,"eq":false,"ne":true,"lt":true,"le":true,"gt":false,"ge":false,"sg":"-1.0","inv":"-1.0"}
-- {"id":5,"eq":null,"ne":null,"lt":null,"le":null,"gt":null,"ge":null,"sg":null,"inv":null}
-- out others
-- {"id":1,"btw":true,"nbt":false,"isin":true,"nin":false,"cs":"zero","nl":null,"df":false,"self":true,"arr":true,"rw":true,"has":true}
-- {"id":2,"btw":false,"nbt":false,"isin":false,"nin":true,"cs":"other","nl":"NaN","df":true,"self":false,"arr":false,"rw":false,"has":false}
-- {"id":3,"btw":false,"nbt":true,"isin":false,"nin":true,"cs":"more","nl":"2.5","df":true,"self":true,"arr":true,"rw":true,"has":true}
-- {"id":4,"btw":false,"nbt":true,"isin":false,"nin":true,"cs":"other","nl":"-2.5","df":true,"self":true,"arr":true,"rw":true,"has":true}
-- {"id":5,"btw":null,"nbt":null,"isin":null,"nin":null,"cs":"other","nl":null,"df":true,"self":null,"arr":true,"rw":true,"has":true}
-- out singles
-- {"id":1,"eq":true,"gt":false}
-- {"id":2,"eq":false,"gt":false}
-- {"id":3,"eq":false,"gt":true}
-- {"id":4,"eq":false,"gt":false}
-- {"id":5,"eq":null,"gt":null}
-- out positive
-- {"id":3}
CREATE TABLE numbers (id INT, d DOUBLE) WITH ('connector' = 'filesystem', 'path' = '@IN@/numbers', 'format' = 'json');
CREATE TABLE compared (id INT, eq BOOLEAN, ne BOOLEAN, lt BOOLEAN, le BOOLEAN, gt BOOLEAN, ge BOOLEAN, sg STRING, inv STRING)
  WITH ('connector' = 'filesystem', 'path' = '@OUT@/compared', 'format' = 'json');
CREATE TABLE others (id INT, btw BOOLEAN, nbt BOOLEAN, isin BOOLEAN, nin BOOLEAN, cs STRING, nl STRING, df BOOLEAN,
  self BOOLEAN, arr BOOLEAN, rw BOOLEAN, has BOOLEAN)
  WITH ('connector' = 'filesystem', 'path' = '@OUT@/others', 'format' = 'json');
CREATE TABLE singles (id INT, eq BOOLEAN, gt BOOLEAN)
  WITH ('connector' = 'filesystem', 'path' = '@OUT@/singles', 'format' = 'json');
CREATE TABLE positive (id INT) WITH ('connector' = 'filesystem', 'path' = '@OUT@/positive', 'format' = 'json');
CREATE VIEW zeros AS SELECT id, d, CAST(0 AS DOUBLE) AS z FROM numbers;
INSERT INTO compared SELECT id, d = z, d <> z, d < z, d <= z, d > z, d >= z, CAST(SIGN(d) AS STRING),
  CAST(CAST(1 AS DOUBLE) / SIGN(d) AS STRING) FROM zeros;
INSERT INTO others SELECT id, d BETWEEN z AND 1e0, d NOT BETWEEN z AND 1e0, d IN (0e0, 7e0, 8e0), d NOT IN (0e0, 7e0, 8e0),
  CASE d WHEN 0e0 THEN 'zero' WHEN 2.5e0 THEN 'more' ELSE 'other' END, CAST(NULLIF(d, z) AS STRING),
  d IS DISTINCT FROM z, d = d, ARRAY[d] = ARRAY[d], (d, 1) = (d, 1) OR d IS NULL, ARRAY_CONTAINS(ARRAY[d, d], d) FROM zeros;
INSERT INTO singles SELECT id, CAST(d AS FLOAT) = CAST(0 AS FLOAT), CAST(d AS FLOAT) > CAST(0 AS FLOAT) FROM zeros;
INSERT INTO positive SELECT id FROM numbers WHERE d > CAST(0 AS DOUBLE);
