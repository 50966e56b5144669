-- Projections of a changelog keep its kinds, also where both halves of an update become equal.
CREATE TABLE balances (id BIGINT, owner STRING, cents INT) WITH ('connector' = 'blackhole');
CREATE TABLE owners (owner STRING) WITH ('connector' = 'blackhole');
INSERT INTO balances SELECT id, UPPER(owner), balance * 100 FROM accounts;
INSERT INTO owners SELECT owner FROM accounts;
