//! A new generation takes the place of the old table, in one transaction.
//!
//! The new table is filled beside the old one. Where nothing hangs on the old table but its columns, indexes, checks, rights and comments, the new one
//! gets the same and is renamed into its place: locks are held for milliseconds. Where views, foreign keys, triggers, policies, publications,
//! sequences or partitions hang on it, it must stay, so the rows are exchanged inside of it.

use super::design::Placed;
use super::merge::Merge;
use super::name::{TableName, with_suffix};
use super::plan::list;
use super::relation::{Index, Relation, TableColumn, Trouble, columns, indexes};
use crate::client::Session;
use crate::spelling::{literal, quote};
use karat_plugin_api::{ConnectorError, ErrorKind};

/// The table whose place is taken.
#[derive(Debug)]
pub(crate) struct Old {
    pub(crate) oid: u32,
    pub(crate) columns: Vec<TableColumn>,
    pub(crate) indexes: Vec<Index>,
    /// Something hangs on it, so it stays.
    pub(crate) stays: bool,
    /// A foreign key points to it, so it cannot be truncated.
    is_referenced: bool,
    /// Rows that it holds, where that is known.
    pub(crate) rows: Option<u64>,
}

/// Looks at the table whose place is to be taken.
pub(crate) async fn old(session: &mut Session, relation: &Relation, rows: Option<u64>) -> Result<Old, Trouble> {
    let oid = relation.oid;
    // Its own indexes, toast table, row type, defaults and checks come and go with it; all else stays behind.
    let sql = format!(
        "SELECT c.relkind <> 'r' OR c.relispartition OR c.relrowsecurity OR c.relreplident <> 'd' OR c.relhastriggers OR c.relhasrules OR c.reloftype <> 0 OR c.relpersistence <> 'p' \
           OR EXISTS (SELECT 1 FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated <> '' AND NOT a.attisdropped) \
           OR EXISTS (SELECT 1 FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid OR i.inhrelid = c.oid) \
           OR EXISTS (SELECT 1 FROM pg_catalog.pg_depend d LEFT JOIN pg_catalog.pg_class x ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND x.oid = d.objid \
             LEFT JOIN pg_catalog.pg_constraint k ON d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND k.oid = d.objid \
             WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = c.oid \
             AND d.classid NOT IN ('pg_catalog.pg_attrdef'::pg_catalog.regclass, 'pg_catalog.pg_type'::pg_catalog.regclass) \
             AND coalesce(x.relkind, '?') NOT IN ('i', 't') AND NOT (k.oid IS NOT NULL AND k.contype <> 'f')), \
         EXISTS (SELECT 1 FROM pg_catalog.pg_constraint k WHERE k.confrelid = c.oid AND k.contype = 'f' AND k.conrelid <> c.oid) \
         FROM pg_catalog.pg_class c WHERE c.oid = {oid}"
    );
    let rows_found = session.rows(&sql).await?;
    let row = rows_found.first().ok_or_else(|| ConnectorError::new(ErrorKind::Busy, "the table was dropped meanwhile"))?;
    Ok(Old { oid, columns: columns(session, oid).await?, indexes: indexes(session, oid).await?, stays: row.is_true(0), is_referenced: row.is_true(1), rows })
}

/// The indexes of the old table that the new one has columns for.
fn carried<'a>(old: &'a Old, placed: &'a [Placed]) -> impl Iterator<Item = (usize, &'a Index)> {
    old.indexes.iter().enumerate().filter(|(_, index)| index.columns.iter().all(|column| placed.iter().any(|placed| placed.name == *column)))
}

/// The name of an index until the old one is gone.
fn interim(build: &TableName, at: usize) -> String {
    with_suffix(&build.table, &format!("_i{at}"))
}

/// Gives a filled table the indexes of the old one.
pub(crate) async fn build_indexes(session: &mut Session, old: &Old, build: &TableName, placed: &[Placed]) -> Result<(), Trouble> {
    for (at, index) in carried(old, placed) {
        let name = quote(&interim(build, at));
        let sql = match &index.constraint {
            Some((_, definition)) => format!("ALTER TABLE {} ADD CONSTRAINT {name} {definition}", build.sql()),
            None => format!("CREATE {}INDEX {name} ON {}{}", if index.is_unique { "UNIQUE " } else { "" }, build.sql(), index.definition),
        };
        session.execute(&sql).await?;
    }
    Ok(())
}

/// Puts the new table in the place of the old one, with its rights, comments, checks and settings.
pub(crate) async fn swap(session: &mut Session, old: &Old, name: &TableName, build: &TableName, placed: &[Placed]) -> Result<(), Trouble> {
    session.execute(&format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", name.sql())).await?;
    for statement in session.rows(&properties(old.oid, build, placed)?).await? {
        session.execute(statement.text(0).unwrap_or_default()).await?;
    }
    session.execute(&format!("DROP TABLE {}; ALTER TABLE {} RENAME TO {}", name.sql(), build.sql(), quote(&name.table))).await?;
    for (at, index) in carried(old, placed) {
        session.execute(&format!("ALTER INDEX {}.{} RENAME TO {}", quote(&name.schema), quote(&interim(build, at)), quote(&index.name))).await?;
    }
    Ok(())
}

/// A query that gives the statements which make a new table like the old one in all but columns and indexes.
fn properties(old: u32, build: &TableName, placed: &[Placed]) -> Result<String, ConnectorError> {
    let new = literal(&build.sql())?;
    let names = placed.iter().map(|column| literal(&column.name)).collect::<Result<Vec<_>, _>>()?.join(", ");
    let column = format!("SELECT a.* FROM pg_catalog.pg_attribute a WHERE a.attrelid = {old} AND a.attnum > 0 AND NOT a.attisdropped AND a.attname IN ({names})");
    let grantee = "CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) END || CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END";
    Ok(format!(
        "SELECT statement FROM ( \
         SELECT 1 AS step, pg_catalog.format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT %s', {new}, a.attname, pg_catalog.pg_get_expr(d.adbin, d.adrelid)) AS statement \
           FROM ({column}) a JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum WHERE a.attgenerated = '' \
         UNION ALL SELECT 1, pg_catalog.format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS %s', {new}, a.attname, a.attstattarget) FROM ({column}) a WHERE a.attstattarget > 0 \
         UNION ALL SELECT 2, pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I %s', {new}, k.conname, pg_catalog.pg_get_constraintdef(k.oid)) \
           FROM pg_catalog.pg_constraint k WHERE k.conrelid = {old} AND k.contype = 'c' AND NOT EXISTS \
             (SELECT 1 FROM pg_catalog.pg_attribute a WHERE a.attrelid = {old} AND a.attnum = ANY (k.conkey) AND a.attname NOT IN ({names})) \
         UNION ALL SELECT 3, pg_catalog.format('ALTER TABLE %s SET (%s)', {new}, pg_catalog.array_to_string(c.reloptions, ', ')) FROM pg_catalog.pg_class c WHERE c.oid = {old} AND c.reloptions IS NOT NULL \
         UNION ALL SELECT 3, pg_catalog.format('COMMENT ON TABLE %s IS %L', {new}, pg_catalog.obj_description({old}, 'pg_class')) WHERE pg_catalog.obj_description({old}, 'pg_class') IS NOT NULL \
         UNION ALL SELECT 3, pg_catalog.format('COMMENT ON COLUMN %s.%I IS %L', {new}, a.attname, pg_catalog.col_description({old}, a.attnum)) FROM ({column}) a WHERE pg_catalog.col_description({old}, a.attnum) IS NOT NULL \
         UNION ALL SELECT 4, pg_catalog.format('ALTER TABLE %s OWNER TO %I', {new}, pg_catalog.pg_get_userbyid(c.relowner)) FROM pg_catalog.pg_class c WHERE c.oid = {old} AND c.relowner <> (SELECT n.relowner FROM pg_catalog.pg_class n WHERE n.oid = {new}::pg_catalog.regclass) \
         UNION ALL SELECT 5, pg_catalog.format('GRANT %s ON TABLE %s TO %s', x.privilege_type, {new}, {grantee}) FROM pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) x WHERE c.oid = {old} \
         UNION ALL SELECT 5, pg_catalog.format('GRANT %s (%I) ON TABLE %s TO %s', x.privilege_type, a.attname, {new}, {grantee}) FROM ({column}) a, pg_catalog.aclexplode(a.attacl) x \
         ) s ORDER BY step"
    ))
}

/// Exchanges the rows of a table that must stay, and drops the one that was built.
pub(crate) async fn exchange(session: &mut Session, old: &Old, name: &TableName, build: &TableName, placed: &[Placed]) -> Result<(), Trouble> {
    session.execute(&format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", name.sql())).await?;
    for alteration in placed.iter().filter_map(|column| column.alteration(&name.sql())) {
        session.execute(&alteration).await?;
    }
    if old.is_referenced {
        meet(session, old, name, build, placed).await?;
    } else {
        let names = list(placed.iter().map(|column| column.name.as_str()));
        session.execute(&format!("TRUNCATE {}; INSERT INTO {} ({names}) OVERRIDING SYSTEM VALUE SELECT {names} FROM {}", name.sql(), name.sql(), build.sql())).await?;
    }
    Ok(session.execute(&format!("DROP TABLE {}", build.sql())).await?)
}

/// Makes the rows of a table that others refer to equal to the new ones, key by key: rows that stay are never gone, so nothing that refers to them breaks.
async fn meet(session: &mut Session, old: &Old, name: &TableName, build: &TableName, placed: &[Placed]) -> Result<(), Trouble> {
    let is_loaded = |index: &&Index| index.proves_unique && index.columns.iter().all(|column| placed.iter().any(|placed| placed.name == *column));
    let Some(key) = old.indexes.iter().filter(is_loaded).max_by_key(|index| index.is_primary).map(|index| index.columns.clone()) else {
        let message = format!("{} is referred to by foreign keys, and the columns they refer to are not loaded", name.label());
        return Err(ConnectorError::new(ErrorKind::Refused, message).with_help("load the key, or drop the foreign keys").into());
    };
    let same: Vec<String> = key.iter().map(|column| format!("b.{0} = t.{0}", quote(column))).collect();
    session.execute(&format!("DELETE FROM {} AS t WHERE NOT EXISTS (SELECT 1 FROM {} AS b WHERE {})", name.sql(), build.sql(), same.join(" AND "))).await?;
    let merge = Merge { table: &name.sql(), staging: &build.sql(), columns: placed, number: "", first_row: 0, indexed: &[] };
    Ok(session.execute(&merge.upsert(&key, true, &[])).await?)
}
