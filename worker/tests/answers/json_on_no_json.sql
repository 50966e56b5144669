-- A text that is no JSON has nothing in it for a lax path and is an error for a strict one, which a path is by default.
-- in texts
-- {"id":1,"j":"no json"}
-- {"id":2,"j":"{\"a\":1"}
-- {"id":3,"j":""}
-- {"id":4,"j":"{\"a\":1}"}
-- out results
-- {"id":1,"v":null,"la":"none","st":"err","oe":"e","q":null,"ql":"[]","qs":"{}","ex":false,"exl":false,"exs":true,"isj":false}
-- {"id":2,"v":null,"la":"none","st":"err","oe":"e","q":null,"ql":"[]","qs":"{}","ex":false,"exl":false,"exs":true,"isj":false}
-- {"id":3,"v":null,"la":"none","st":"err","oe":"e","q":null,"ql":"[]","qs":"{}","ex":false,"exl":false,"exs":true,"isj":false}
-- {"id":4,"v":"1","la":"1","st":"1","oe":"1","q":null,"ql":"[]","qs":"{}","ex":true,"exl":true,"exs":true,"isj":true}
CREATE TABLE texts (id INT, j STRING) WITH ('connector' = 'filesystem', 'path' = '@IN@/texts', 'format' = 'json');
CREATE TABLE results (id INT, v STRING, la STRING, st STRING, oe STRING, q STRING, ql STRING, qs STRING, ex BOOLEAN,
  exl BOOLEAN, exs BOOLEAN, isj BOOLEAN) WITH ('connector' = 'filesystem', 'path' = '@OUT@/results', 'format' = 'json');
INSERT INTO results SELECT id, JSON_VALUE(j, '$.a'), JSON_VALUE(j, 'lax $.a' DEFAULT 'none' ON EMPTY),
  JSON_VALUE(j, 'strict $.a' DEFAULT 'err' ON ERROR), JSON_VALUE(j, 'lax $.a' DEFAULT 'e' ON EMPTY DEFAULT 'x' ON ERROR),
  JSON_QUERY(j, '$.a'), JSON_QUERY(j, 'lax $.a' EMPTY ARRAY ON EMPTY), JSON_QUERY(j, 'strict $.a' EMPTY OBJECT ON ERROR),
  JSON_EXISTS(j, '$.a'), JSON_EXISTS(j, 'lax $.a' TRUE ON ERROR), JSON_EXISTS(j, 'strict $.a' TRUE ON ERROR), j IS JSON
FROM texts;
