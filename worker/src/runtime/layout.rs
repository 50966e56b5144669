//! Distributes a job graph over slots: which operators run together, and how many subtasks they have.
//!
//! Operators that pass rows to a single consumer in the same slot share a chain. There is a channel only where rows
//! change slots, where a stream has several consumers, or where several streams meet.
//!
//! An operator has a subtask in each slot, or in the first few slots. A source has as many as its table allows. An
//! operator after it without an exchange by key has one wherever rows arrive. A sink has at most as many as its table
//! allows. An operator with keyed state follows such an exchange, so it is in every slot.

use eddyline_job_graph::{Edge, JobGraph, Node, NodeId, NodeKind, Partitioning};

/// Operators that run together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainLayout {
    /// In the order in which rows pass them.
    pub nodes: Vec<NodeId>,
    /// The number of subtasks. They run in the first slots, one in each.
    pub subtasks: usize,
}

/// Splits the graph into chains, in the order in which rows pass them.
pub fn chains(graph: &JobGraph, slots: usize) -> Vec<ChainLayout> {
    let (consumers, subtasks) = (graph.consumers(), subtasks(graph, slots));
    let stays_in_slot = |edge: &Edge, receiver: NodeId| {
        let same_slots = subtasks[edge.from] == subtasks[receiver];
        slots == 1 || edge.partitioning == Partitioning::Forward && same_slots
    };
    let mut chains: Vec<ChainLayout> = Vec::new();
    for (id, node) in graph.nodes.iter().enumerate() {
        let upstream = match node.inputs.as_slice() {
            [edge] if consumers[edge.from] == 1 && stays_in_slot(edge, id) => {
                chains.iter_mut().find(|chain| chain.nodes.last() == Some(&edge.from))
            }
            _ => None,
        };
        match upstream {
            Some(chain) => chain.nodes.push(id),
            None => chains.push(ChainLayout { nodes: vec![id], subtasks: subtasks[id] }),
        }
    }
    chains
}

/// The number of subtasks of each node.
fn subtasks(graph: &JobGraph, slots: usize) -> Vec<usize> {
    let mut subtasks: Vec<usize> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let available = node.inputs.iter().map(|edge| reached(edge, &subtasks, slots)).max().unwrap_or(slots);
        subtasks.push(available.min(subtasks_max(node)));
    }
    subtasks
}

/// The number of subtasks that can receive rows over an edge. Nodes come after their inputs.
fn reached(edge: &Edge, subtasks: &[usize], slots: usize) -> usize {
    match edge.partitioning {
        Partitioning::Forward => subtasks[edge.from],
        Partitioning::Hash(_) => slots,
    }
}

fn subtasks_max(node: &Node) -> usize {
    let asked_for = match &node.kind {
        NodeKind::Source(source) => source.parallelism,
        NodeKind::Sink(sink) => sink.parallelism,
        NodeKind::Calc(_)
        | NodeKind::WindowAssign(_)
        | NodeKind::LocalWindowAggregate(_)
        | NodeKind::WindowAggregate(_)
        | NodeKind::GroupAggregate(_)
        | NodeKind::Over(_)
        | NodeKind::Union => None,
    };
    asked_for.map_or(usize::MAX, |subtasks| usize::from(subtasks.get()))
}

#[cfg(test)]
mod tests {
    use eddyline_plan::{PlanOptions, Script, plan};

    use super::*;

    const TABLES: &str = "
CREATE TABLE few (n BIGINT) WITH ('connector' = 'datagen', 'scan.parallelism' = '2');
CREATE TABLE many (n BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'datagen');
CREATE TABLE narrow (n BIGINT) WITH ('connector' = 'print', 'sink.parallelism' = '1');
CREATE TABLE wide (n BIGINT) WITH ('connector' = 'print', 'sink.parallelism' = '9');
CREATE TABLE whole (n BIGINT) WITH ('connector' = 'blackhole');
";

    /// Each chain as text: the kinds of its operators, and the number of its subtasks.
    fn laid_out(inserts: &str, slots: usize) -> Vec<String> {
        let script = Script { name: "job.sql".to_owned(), text: format!("{TABLES}{inserts}") };
        let graph = match plan(&script, &PlanOptions::default()) {
            Ok(planned) => planned.graph,
            Err(diagnostics) => panic!("{}", diagnostics.render(&script)),
        };
        let kind = |id: &NodeId| match &graph.nodes[*id].kind {
            NodeKind::Source(source) => source.table.name.clone(),
            NodeKind::Sink(sink) => sink.table.name.clone(),
            NodeKind::WindowAggregate(_) => "aggregate".to_owned(),
            NodeKind::LocalWindowAggregate(_) => "local".to_owned(),
            NodeKind::Union => "union".to_owned(),
            _ => "calc".to_owned(),
        };
        let text = |chain: &ChainLayout| {
            format!("{} × {}", chain.subtasks, chain.nodes.iter().map(kind).collect::<Vec<_>>().join(" → "))
        };
        chains(&graph, slots).iter().map(text).collect()
    }

    #[test]
    fn without_a_limit_everything_that_needs_no_exchange_is_one_chain_in_every_slot() {
        assert_eq!(laid_out("INSERT INTO whole SELECT n + 1 FROM many;", 3), ["3 × many → calc → whole"]);
    }

    #[test]
    fn what_stands_behind_a_limited_source_runs_where_its_readers_are() {
        assert_eq!(laid_out("INSERT INTO whole SELECT n + 1 FROM few;", 3), ["2 × few → calc → whole"]);
        assert_eq!(laid_out("INSERT INTO whole SELECT n FROM few;", 1), ["1 × few → whole"]);
    }

    #[test]
    fn a_limited_sink_is_a_chain_of_its_own_unless_its_rows_come_from_no_more_subtasks() {
        assert_eq!(laid_out("INSERT INTO narrow SELECT n FROM many;", 3), ["3 × many → calc", "1 × narrow"]);
        assert_eq!(laid_out("INSERT INTO narrow SELECT n FROM few;", 3), ["2 × few", "1 × narrow"]);
        assert_eq!(laid_out("INSERT INTO narrow SELECT n FROM few;", 1), ["1 × few → narrow"]);
        assert_eq!(laid_out("INSERT INTO wide SELECT n FROM few;", 12), ["2 × few → wide"]);
        assert_eq!(laid_out("INSERT INTO wide SELECT n + 1 FROM many;", 9), ["9 × many → calc → wide"]);
        assert_eq!(laid_out("INSERT INTO wide SELECT n + 1 FROM many;", 10), ["10 × many → calc", "9 × wide"]);
    }

    #[test]
    fn what_is_exchanged_by_key_runs_in_every_slot() {
        let query = "CREATE VIEW rows_of_few AS SELECT n, ts FROM few_timed;
            INSERT INTO narrow SELECT COUNT(*) FROM TABLE(TUMBLE(TABLE rows_of_few, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
            GROUP BY n, window_start, window_end;";
        let table = "CREATE TABLE few_timed WITH ('scan.parallelism' = '2') LIKE many;";
        let chains = laid_out(&format!("{table}{query}"), 3);
        assert_eq!(chains, ["2 × few_timed → local", "3 × aggregate → calc", "1 × narrow"]);
    }

    #[test]
    fn streams_that_meet_run_where_either_of_them_does() {
        let chains = laid_out("INSERT INTO whole SELECT n FROM few UNION ALL SELECT n FROM many;", 3);
        assert_eq!(chains.last().map(String::as_str), Some("3 × union → whole"), "{chains:?}");
        let chains = laid_out("INSERT INTO whole SELECT n FROM few; INSERT INTO narrow SELECT n FROM few;", 3);
        assert_eq!(chains, ["2 × few", "2 × whole", "1 × narrow"]);
    }
}
