-- A pattern that is none, and a group that the pattern does not have, give NULL (FALSE for REGEXP): as a literal like as data.
-- in texts
-- {"id":1,"s":"n12-34","p":"n(\\d+)-(\\d+)","g":2}
-- {"id":2,"s":"n12-34","p":"n(\\d+)","g":7}
-- {"id":3,"s":"n12-34","p":"([a-z","g":1}
-- {"id":4,"s":"n12-34","p":null,"g":1}
-- out results
-- {"id":1,"grp":null,"bad":null,"neg":null,"dyn":"34","rep":null,"cnt":null,"mat":false,"dmat":true}
-- {"id":2,"grp":null,"bad":null,"neg":null,"dyn":null,"rep":null,"cnt":null,"mat":false,"dmat":true}
-- {"id":3,"grp":null,"bad":null,"neg":null,"dyn":null,"rep":null,"cnt":null,"mat":false,"dmat":false}
-- {"id":4,"grp":null,"bad":null,"neg":null,"dyn":null,"rep":null,"cnt":null,"mat":false,"dmat":null}
CREATE TABLE texts (id INT, s STRING, p STRING, g INT)
  WITH ('connector' = 'filesystem', 'path' = '@IN@/texts', 'format' = 'json');
CREATE TABLE results (id INT, grp STRING, bad STRING, neg STRING, dyn STRING, rep STRING, cnt INT, mat BOOLEAN, dmat BOOLEAN)
  WITH ('connector' = 'filesystem', 'path' = '@OUT@/results', 'format' = 'json');
INSERT INTO results SELECT id, REGEXP_EXTRACT(s, 'n(\d+)', 5), REGEXP_EXTRACT(s, '([a-z', 1), REGEXP_EXTRACT(s, 'n', -1),
  REGEXP_EXTRACT(s, p, g), REGEXP_REPLACE(s, '*', 'x'), REGEXP_COUNT(s, '['), REGEXP(s, '(a'), REGEXP(s, p) FROM texts;
