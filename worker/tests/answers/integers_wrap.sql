-- Whole numbers are Java's: the least one divided by -1 is itself, its remainder is 0, and what leads out of the range of a
-- type comes in again at its other end.
-- in numbers
-- {"id":1,"i":-2147483648,"l":-9223372036854775808,"m":-1,"t":-128,"s":-32768}
-- {"id":2,"i":7,"l":-7,"m":-2,"t":7,"s":-7}
-- out divided
-- {"id":1,"di":-2147483648,"dl":-9223372036854775808,"dm":-2147483648,"mo":0,"ml":0,"dt":-128,"ds":-32768}
-- {"id":2,"di":-7,"dl":7,"dm":-3,"mo":1,"ml":-1,"dt":-7,"ds":7}
-- out others
-- {"id":1,"mi":-2147483648,"ml":-9223372036854775808,"mt":-128,"ab":-2147483648,"plus":2147483647,"minus":-2147483648,"times":-2147483648,"cut":0,"c":-2147483648}
-- {"id":2,"mi":-7,"ml":7,"mt":-7,"ab":7,"plus":6,"minus":-7,"times":-7,"cut":-7,"c":-2147483648}
CREATE TABLE numbers (id INT, i INT, l BIGINT, m INT, t TINYINT, s SMALLINT)
  WITH ('connector' = 'filesystem', 'path' = '@IN@/numbers', 'format' = 'json');
CREATE TABLE divided (id INT, di INT, dl BIGINT, dm INT, mo INT, ml BIGINT, dt INT, ds INT)
  WITH ('connector' = 'filesystem', 'path' = '@OUT@/divided', 'format' = 'json');
CREATE TABLE others (id INT, mi INT, ml BIGINT, mt INT, ab INT, plus INT, minus INT, times INT, cut INT, c INT)
  WITH ('connector' = 'filesystem', 'path' = '@OUT@/others', 'format' = 'json');
INSERT INTO divided SELECT id, i / -1, l / -1, i / m, MOD(i, m), l % 2, t / CAST(-1 AS TINYINT), s / CAST(-1 AS SMALLINT)
FROM numbers;
INSERT INTO others SELECT id, -i, -l, -t, ABS(i), i - 1, 0 - i, i * -1, CAST(l AS INT), -CAST(-2147483648 AS INT) FROM numbers;
