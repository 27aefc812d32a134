//! Which tables a name may mean that no table has: one answer for findings that suggest a table and for those that call a table unused.

use crate::findings::may_read;
use crate::{TableGraph, TableIndex};
use karat_diagnostics::nearest;
use karat_spec::model::{Layer, TableName};

impl TableGraph {
    /// The tables that `reader` likely meant by a name that no table has, or that names no layer; often none.
    #[must_use]
    pub fn meant_by(&self, reader: TableIndex, name: &str) -> Vec<TableIndex> {
        let exact = self.without_layer(reader, name);
        if !exact.is_empty() {
            return exact;
        }
        let near = if name.contains('.') { self.near_full_name(reader, name) } else { self.near_short_name(reader, name) };
        near.into_iter().collect()
    }

    /// Tables that a name without its layer may stand for: those with this name in any layer. Those that `reader` may read win.
    pub(crate) fn without_layer(&self, reader: TableIndex, name: &str) -> Vec<TableIndex> {
        // `"silver.trades"` in double quotes is one name with a dot in it.
        let quoted = TableName::parse(name).and_then(|name| self.lookup(&name));
        let in_layers = Layer::ALL.into_iter().filter_map(|layer| self.lookup(&TableName::new(layer, name))).filter(|found| *found != reader);
        let all: Vec<TableIndex> = quoted.into_iter().chain(in_layers).collect();
        let allowed: Vec<TableIndex> = all.iter().copied().filter(|found| may_read(self.name(reader).layer(), self.name(*found).layer())).collect();
        if allowed.is_empty() { all } else { allowed }
    }

    /// The table whose full name is most like `name`, else the only one with the same name in another layer.
    pub(crate) fn near_full_name(&self, reader: TableIndex, name: &str) -> Option<TableIndex> {
        let others: Vec<(String, TableIndex)> = self.others(reader).map(|other| (self.name(other).to_string(), other)).collect();
        let near = nearest(name, others.iter().map(|(name, _)| name.as_str())).and_then(|near| others.iter().find(|(name, _)| name == near));
        near.map(|(_, table)| *table).or_else(|| {
            let last = name.rsplit('.').next()?;
            let mut found = self.others(reader).filter(|other| self.name(*other).name() == last);
            found.next().filter(|_| found.next().is_none())
        })
    }

    /// The table whose name without the layer is most like `name`.
    pub(crate) fn near_short_name(&self, reader: TableIndex, name: &str) -> Option<TableIndex> {
        let near = nearest(name, self.others(reader).map(|other| self.name(other).name()))?;
        self.others(reader).find(|other| self.name(*other).name() == near)
    }

    fn others(&self, reader: TableIndex) -> impl Iterator<Item = TableIndex> {
        self.tables().filter(move |other| *other != reader)
    }
}
