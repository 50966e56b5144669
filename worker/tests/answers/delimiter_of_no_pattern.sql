-- A delimiter of STR_TO_MAP that is no pattern fails, unlike the patterns of other functions.
-- in texts
-- {"s":"a=x,b=y","p":"["}
-- fails the delimiter '[' of STR_TO_MAP is no regular expression
CREATE TABLE texts (s STRING, p STRING) WITH ('connector' = 'filesystem', 'path' = '@IN@/texts', 'format' = 'json');
CREATE TABLE results (m MAP<STRING, STRING>) WITH ('connector' = 'blackhole');
INSERT INTO results SELECT STR_TO_MAP(s, p, '=') FROM texts;
