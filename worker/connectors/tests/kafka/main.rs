//! The Kafka connector against a real broker.
//!
//! `e2e/services/kafka/broker.sh` starts one broker for the whole run, on a free port and in a temporary folder; it needs
//! java and, the first time, mvn. Tests make topics of their own and run side by side, except those that stop the broker.

mod abandoned;
mod bounds;
mod broker;
mod certificates;
mod idle;
mod outage;
mod records;
mod refused;
mod security;
mod sink;
mod startup;
mod table;
mod turns;
