-- Of a key that is given twice, the last value counts, and the key is there once; also when a CAST makes two keys one.
-- in numbers
-- {"id":1,"a":1,"b":2}
-- {"id":2,"a":2,"b":1}
-- out results
-- {"id":1,"m":"{k=2}","x":2,"y":null,"n":1,"c":"{1=2, 2=1}","keys":["k","l"]}
-- {"id":2,"m":"{k=1}","x":1,"y":null,"n":1,"c":"{1=1, 2=2}","keys":["k","l"]}
CREATE TABLE numbers (id INT, a INT, b INT) WITH ('connector' = 'filesystem', 'path' = '@IN@/numbers', 'format' = 'json');
CREATE TABLE results (id INT, m STRING, x INT, y INT, n INT, c STRING, keys ARRAY<STRING>)
  WITH ('connector' = 'filesystem', 'path' = '@OUT@/results', 'format' = 'json');
INSERT INTO results SELECT id, CAST(MAP['k', a, 'k', b] AS STRING), MAP['k', a, 'k', b]['k'], MAP['k', a, 'l', b]['zz'],
  CARDINALITY(MAP['k', a, 'k', b]), CAST(CAST(MAP['1', a, '2', a, '01', b] AS MAP<INT, INT>) AS STRING),
  MAP_KEYS(MAP['k', a, 'l', a, 'k', b]) FROM numbers;
