//! The graph of all tables of a project.

use crate::{Reference, ReferenceKind, SqlFacts};
use karat_spec::model::TableName;
use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{Bfs, Reversed};
use std::collections::{BTreeSet, HashMap};

/// One table of a [`TableGraph`]: its index in [`karat_spec::ProjectSpec::tables`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableIndex(u32);

impl TableIndex {
    /// The index of the `position`th table of the project.
    #[must_use]
    pub fn new(position: usize) -> Self {
        Self(u32::try_from(position).unwrap_or(u32::MAX))
    }

    /// The position in [`karat_spec::ProjectSpec::tables`].
    #[must_use]
    pub fn position(self) -> usize {
        self.0 as usize
    }
}

/// `from` must be done before `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// The table that is read.
    pub from: TableIndex,
    /// The table that reads.
    pub to: TableIndex,
    /// Why, in the order of [`ReferenceKind`].
    pub kinds: Vec<ReferenceKind>,
}

/// All tables of a project and what each needs. Tables are in file and source order everywhere.
#[derive(Debug, Clone, Default)]
pub struct TableGraph {
    names: Vec<TableName>,
    by_name: HashMap<TableName, TableIndex>,
    references: Vec<Vec<Reference>>,
    facts: Vec<Option<SqlFacts>>,
    edges: DiGraph<(), (), u32>,
}

impl TableGraph {
    pub(crate) fn new(names: Vec<TableName>) -> Self {
        let mut by_name = HashMap::with_capacity(names.len());
        let mut edges = DiGraph::with_capacity(names.len(), names.len() * 2);
        for (position, name) in names.iter().enumerate() {
            by_name.entry(name.clone()).or_insert(TableIndex::new(position));
            edges.add_node(());
        }
        let (references, facts) = (vec![Vec::new(); names.len()], vec![None; names.len()]);
        Self { names, by_name, references, facts, edges }
    }

    pub(crate) fn set(&mut self, table: TableIndex, references: Vec<Reference>, facts: Option<SqlFacts>) {
        let sources: BTreeSet<TableIndex> = references.iter().filter(|reference| reference.kind.orders()).filter_map(|reference| reference.target).collect();
        for source in sources.into_iter().filter(|source| *source != table) {
            self.edges.update_edge(node(source), node(table), ());
        }
        self.references[table.position()] = references;
        self.facts[table.position()] = facts;
    }

    pub(crate) fn petgraph(&self) -> &DiGraph<(), (), u32> {
        &self.edges
    }

    /// How many tables there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// True when there is no table.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// All tables.
    pub fn tables(&self) -> impl ExactSizeIterator<Item = TableIndex> + use<> {
        (0..self.names.len()).map(TableIndex::new)
    }

    /// The full name of a table.
    #[must_use]
    pub fn name(&self, table: TableIndex) -> &TableName {
        &self.names[table.position()]
    }

    /// The table with this full name.
    #[must_use]
    pub fn lookup(&self, name: &TableName) -> Option<TableIndex> {
        self.by_name.get(name).copied()
    }

    /// Tables that must be done before `table`.
    #[must_use]
    pub fn upstream(&self, table: TableIndex) -> Vec<TableIndex> {
        self.neighbours(table, Direction::Incoming)
    }

    /// Tables that need `table`.
    #[must_use]
    pub fn downstream(&self, table: TableIndex) -> Vec<TableIndex> {
        self.neighbours(table, Direction::Outgoing)
    }

    /// Everything that must be done before `table`, however indirectly, without `table` itself.
    #[must_use]
    pub fn all_upstream(&self, table: TableIndex) -> BTreeSet<TableIndex> {
        let mut search = Bfs::new(Reversed(&self.edges), node(table));
        std::iter::from_fn(|| search.next(Reversed(&self.edges))).map(index).filter(|found| *found != table).collect()
    }

    /// Everything that needs `table`, however indirectly, without `table` itself.
    #[must_use]
    pub fn all_downstream(&self, table: TableIndex) -> BTreeSet<TableIndex> {
        let mut search = Bfs::new(&self.edges, node(table));
        std::iter::from_fn(|| search.next(&self.edges)).map(index).filter(|found| *found != table).collect()
    }

    /// Every place where `table` names another table, in the order SQL, `depends_on`, checks, `incremental`, tests.
    #[must_use]
    pub fn references(&self, table: TableIndex) -> &[Reference] {
        &self.references[table.position()]
    }

    /// What the SQL of a Silver or Gold table says; `None` where there is no SQL.
    #[must_use]
    pub fn sql_facts(&self, table: TableIndex) -> Option<&SqlFacts> {
        self.facts[table.position()].as_ref()
    }

    /// All edges, by reading table, then by read table.
    pub fn edges(&self) -> impl Iterator<Item = Edge> + '_ {
        self.tables().flat_map(move |to| {
            self.upstream(to).into_iter().map(move |from| {
                let kinds: BTreeSet<ReferenceKind> =
                    self.references(to).iter().filter(|reference| reference.target == Some(from) && reference.kind.orders()).map(|reference| reference.kind).collect();
                Edge { from, to, kinds: kinds.into_iter().collect() }
            })
        })
    }

    /// The tables in the order they can run, each as early as possible; tables of one wave need nothing of each other.
    /// Tables of a cycle, and those behind one, can never run and are left out.
    #[must_use]
    pub fn waves(&self) -> Vec<Vec<TableIndex>> {
        let mut missing: Vec<usize> = self.tables().map(|table| self.edges.edges_directed(node(table), Direction::Incoming).count()).collect();
        let mut wave: Vec<TableIndex> = self.tables().filter(|table| missing[table.position()] == 0).collect();
        let mut waves = Vec::new();
        while !wave.is_empty() {
            let mut next = Vec::new();
            for reader in wave.iter().flat_map(|table| self.edges.neighbors(node(*table))) {
                missing[reader.index()] -= 1;
                if missing[reader.index()] == 0 {
                    next.push(index(reader));
                }
            }
            next.sort_unstable();
            waves.push(std::mem::replace(&mut wave, next));
        }
        waves
    }

    fn neighbours(&self, table: TableIndex, direction: Direction) -> Vec<TableIndex> {
        let mut found: Vec<TableIndex> = self.edges.neighbors_directed(node(table), direction).map(index).collect();
        found.sort_unstable();
        found
    }
}

pub(crate) fn node(table: TableIndex) -> NodeIndex<u32> {
    NodeIndex::new(table.position())
}

pub(crate) fn index(node: NodeIndex<u32>) -> TableIndex {
    TableIndex::new(node.index())
}

#[cfg(test)]
mod tests {
    use crate::fixture::Fixture;
    use crate::{TableIndex, build, render, select};
    use expect_test::expect;
    use std::collections::BTreeSet;

    fn market() -> Fixture {
        Fixture::new(&[
            ("gold.bars", "SELECT * FROM silver.trades", &["bronze.rates"]),
            ("bronze.binance", "", &[]),
            ("bronze.rates", "", &[]),
            ("silver.trades", "SELECT * FROM bronze.binance JOIN bronze.bybit ON true", &[]),
            ("bronze.bybit", "", &[]),
        ])
    }

    #[test]
    fn renderings_are_stable() {
        let (graph, _) = build(&market().spec);
        let all: BTreeSet<TableIndex> = graph.tables().collect();
        expect![[r#"
            wave 1
              bronze.binance
              bronze.rates
              bronze.bybit
            wave 2
              silver.trades  ← bronze.binance, bronze.bybit
            wave 3
              gold.bars  ← bronze.rates, silver.trades
        "#]]
        .assert_eq(&render::text(&graph, &all));
        expect![[r#"
            flowchart LR
              subgraph bronze
                t1["bronze.binance"]
                t2["bronze.rates"]
                t4["bronze.bybit"]
              end
              subgraph silver
                t3["silver.trades"]
              end
              subgraph gold
                t0["gold.bars"]
              end
              t2 -.-> t0
              t3 --> t0
              t1 --> t3
              t4 --> t3
        "#]]
        .assert_eq(&render::mermaid(&graph, &all));
        expect![[r#"
            digraph karat {
              rankdir=LR;
              node [shape=box];
              subgraph cluster_bronze {
                label="bronze";
                t1 [label="bronze.binance"];
                t2 [label="bronze.rates"];
                t4 [label="bronze.bybit"];
              }
              subgraph cluster_silver {
                label="silver";
                t3 [label="silver.trades"];
              }
              subgraph cluster_gold {
                label="gold";
                t0 [label="gold.bars"];
              }
              t2 -> t0 [style=dashed];
              t3 -> t0;
              t1 -> t3;
              t4 -> t3;
            }
        "#]]
        .assert_eq(&render::dot(&graph, &all));
    }

    #[test]
    fn selectors_choose_tables() {
        let fixture = market();
        let (graph, _) = build(&fixture.spec);
        let chosen = |include: &[&str], exclude: &[&str]| {
            let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
            match select::select(&fixture.spec, &graph, &owned(include), &owned(exclude)) {
                Ok(tables) => tables.into_iter().map(|table| graph.name(table).to_string()).collect::<Vec<_>>().join(" "),
                Err(error) => format!("{error}; {}", error.help()),
            }
        };
        let cases: [(&[&str], &[&str]); 14] = [
            (&[], &[]),
            (&["silver.trades"], &[]),
            (&["bronze.*"], &["bronze.b*"]),
            (&["*"], &["tag:slow"]),
            (&["+silver.trades"], &[]),
            (&["bronze.binance+"], &[]),
            (&["+silver.trades+"], &["gold.*"]),
            (&["pipeline:market", "gold.bars"], &[]),
            (&["silver.tradez"], &[]),
            (&["trades"], &[]),
            (&["tag:fst"], &[]),
            (&["pipeline:x"], &[]),
            (&["++"], &[]),
            (&[""], &[]),
        ];
        let lines: Vec<String> = cases.iter().map(|(include, exclude)| format!("{include:?} - {exclude:?} = {}", chosen(include, exclude))).collect();
        expect![[r#"
            [] - [] = gold.bars bronze.binance bronze.rates silver.trades bronze.bybit
            ["silver.trades"] - [] = silver.trades
            ["bronze.*"] - ["bronze.b*"] = bronze.rates
            ["*"] - ["tag:slow"] = bronze.binance bronze.rates silver.trades bronze.bybit
            ["+silver.trades"] - [] = bronze.binance silver.trades bronze.bybit
            ["bronze.binance+"] - [] = gold.bars bronze.binance silver.trades
            ["+silver.trades+"] - ["gold.*"] = bronze.binance silver.trades bronze.bybit
            ["pipeline:market", "gold.bars"] - [] = gold.bars bronze.binance bronze.rates silver.trades bronze.bybit
            ["silver.tradez"] - [] = selector `silver.tradez` matches no table; did you mean `silver.trades`?
            ["trades"] - [] = selector `trades` matches no table; did you mean `silver.trades`?
            ["tag:fst"] - [] = selector `tag:fst` matches no table; did you mean `tag:fast`?
            ["pipeline:x"] - [] = selector `pipeline:x` matches no table; there are `pipeline:market`
            ["++"] - [] = `++` is no selector; write `silver.trades`, `gold.*`, `*`, `tag:name` or `pipeline:name`, with `+` before it for its inputs and after it for its readers
            [""] - [] = `` is no selector; write `silver.trades`, `gold.*`, `*`, `tag:name` or `pipeline:name`, with `+` before it for its inputs and after it for its readers"#]]
        .assert_eq(&lines.join("\n"));
    }
}
