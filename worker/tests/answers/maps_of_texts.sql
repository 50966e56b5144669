-- The delimiters of STR_TO_MAP are patterns.
-- in texts
-- {"id":1,"s":"a1=x;b2=y","p":"\\d=","q":";"}
-- {"id":2,"s":"","p":"[","q":"["}
-- {"id":3,"s":null,"p":"[","q":"["}
-- {"id":4,"s":"a=x","p":null,"q":";"}
-- out results
-- {"id":1,"m":{"a":"x","b":"y"}}
-- {"id":2,"m":{}}
-- {"id":3,"m":null}
-- {"id":4,"m":null}
CREATE TABLE texts (id INT, s STRING, p STRING, q STRING)
  WITH ('connector' = 'filesystem', 'path' = '@IN@/texts', 'format' = 'json');
CREATE TABLE results (id INT, m MAP<STRING, STRING>)
  WITH ('connector' = 'filesystem', 'path' = '@OUT@/results', 'format' = 'json');
INSERT INTO results SELECT id, STR_TO_MAP(s, q, p) FROM texts;
