//! Malformed files: each gives a located finding that says how to mend it, all of them in one pass.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

mod catalog;

use catalog::catalog;
use expect_test::{Expect, expect};
use karat_diagnostics::{Diagnostic, SourceMap};
use karat_spec::{Environment, SourceSet, parse};
use std::fmt::Write;
fn shown(map: &SourceMap, findings: &[Diagnostic]) -> String {
    let mut out = String::new();
    for finding in findings {
        let span = finding.primary.as_ref().expect("a place").span;
        let at = map.file(span.file).line_column(span.start);
        let _ = writeln!(
            out,
            "{}:{}:{} {} {} [{}]",
            map.file(span.file).path(),
            at.line,
            at.column,
            finding.code,
            finding.message,
            map.snippet(span).replace('\n', "⏎").replace('\0', "␀")
        );
        for note in &finding.notes {
            let _ = writeln!(out, "  = {note}");
        }
        if let Some(help) = &finding.help {
            let _ = writeln!(out, "  ? {help}");
        }
        for related in &finding.related {
            let at = map.file(related.span.file).line_column(related.span.start);
            let _ = writeln!(out, "  @ {}:{} {}", at.line, at.column, related.message);
        }
    }
    out
}

fn check(texts: &[(&str, &str)], expected: Expect) {
    let sources = SourceSet::from_texts("/project", texts);
    let (_, findings) = parse(&sources, &Environment::Unresolved, &catalog());
    expected.assert_eq(&shown(&sources.map, &findings));
}

#[test]
fn an_empty_file_and_a_comment_are_no_pipeline() {
    check(
        &[("a.yaml", ""), ("b.yaml", "# c\n"), ("c.yaml", "---\n"), ("d.yaml", "\u{feff}version: 1\n"), ("e.yaml", "~\n")],
        expect![[r#"
        a.yaml:1:1 S002 the file holds no YAML []
          ? begin with `version: 1`
        b.yaml:1:1 S002 the file holds no YAML []
          ? begin with `version: 1`
        c.yaml:1:4 S002 the file holds no YAML []
          ? begin with `version: 1`
        e.yaml:1:1 S002 the file holds no YAML [~]
          ? begin with `version: 1`
    "#]],
    );
}

#[test]
fn syntax_errors_have_a_place_and_other_files_go_on() {
    check(
        &[
            ("a.yaml", "version: 1\nbronze:\n	t: {}\n"),
            ("b.yaml", "version: 1\n  name: x\n"),
            ("c.yaml", "version: 1\nname: \"x\nbronze: {}\n"),
            ("d.yaml", "version: 1\nvars: {a: [1, 2\nb: c\n"),
            ("e.yaml", "version: 1\ndescription: a: b\n"),
            ("f.yaml", "version: 1\nname\n"),
            ("g.yaml", "version: 1\nschedule: { cron: */15 * * * * }\n"),
            ("q.yaml", "version: 1\nconnections: { a: { type: sqlite, path: ${URL} } }\n"),
            ("r.yaml", "version: 1\ntags: [a, %b]\n"),
            ("s.yaml", "version: 1\nname: a\n name: b\n"),
            ("t.yaml", "version: 1\nbronze:\n  a:\n    key: [a]\n   from: x\n"),
            ("u.yaml", "version: 1\nbronze:\n- a\n  b: c\n"),
            ("v.yaml", "version: 1\nsilver:\n  s:\n    sql: |\n  SELECT 1\n"),
            ("h.yaml", "version: 1\ndescription: @x\n"),
            ("i.yaml", "version: 1\ndescription: a\0b\n"),
            ("j.yaml", "version: 1\nvars: {a: b}}\n"),
            ("k.yaml", "version: 1\n...\ntrailing garbage\n"),
            ("l.yaml", "version: 1\nowner: me\n---\nversion: 1\n"),
            ("m.yaml", "- a\n"),
            ("n.yaml", "just text\n"),
            ("o.yaml", "version: 1\ndescription: {{ x }} and more\n"),
            ("p.yaml", "version: 1\ndescription: \"\\q\"\n"),
        ],
        expect![[r#"
            a.yaml:3:1 S001 a tab indents this line; YAML allows only spaces [	]
              ? replace the tab by spaces
            b.yaml:2:7 S001 this is not YAML: a `:` cannot stand here [:]
              ? check the indentation: keys of one mapping begin in the same column
            c.yaml:2:7 S001 a quoted text is never closed, or its next line is not indented ["]
              ? close the quote, or indent the lines of the text
            d.yaml:2:11 S001 `[` is never closed [[]
              ? add the missing `]`
            d.yaml:3:1 S013 `b` is not a key of a pipeline file [b]
              = keys: `bronze`, `connections`, `defaults`, `description`, `gold`, `name`, `owner`, `schedule`, `silver`, `tags`, `vars`, `version`
            e.yaml:2:15 S001 this is not YAML: a `:` cannot stand here [:]
              ? quote a text that contains `: `
            f.yaml:2:1 S001 this is not YAML: this line has no `:` behind its key [n]
              ? write `key: value`, with a space after the colon
            g.yaml:2:19 S007 `*/15` refers to an anchor that is not defined above [*/15]
              ? define it with `&/15` before this line, or quote the text: `"*/15"`
            h.yaml:2:14 S001 this is not YAML: `@` cannot begin a value [@]
              ? quote a text that begins with `@`
            i.yaml:2:15 S010 the text holds a NUL character [␀]
              ? remove it, or write it as an escape such as `"\u0000"` in double quotes
            j.yaml:2:13 S001 this is not YAML: misplaced bracket [}]
            k.yaml:3:1 S003 a second YAML document begins here [trailing garbage]
              = a file holds one document
              ? move it into a file of its own, or remove the `---` or `...` line
            l.yaml:3:1 S003 a second YAML document begins here [---]
              = a file holds one document
              ? move it into a file of its own, or remove the `---` or `...` line
            m.yaml:1:1 S004 the file is a list, not a mapping [- a]
              ? write keys such as `version: 1` at the start of lines
            n.yaml:1:1 S004 the file is a text, not a mapping [just text]
              ? write keys such as `version: 1` at the start of lines
            o.yaml:2:14 S029 a value or key that begins with a template must be quoted [{{ x }}]
              = without quotes YAML reads `{` as the start of a mapping
              ? put double quotes around the whole value
            p.yaml:2:14 S001 double quotes hold an escape that YAML does not have ["]
              ? write `\\` for a backslash, or use single quotes
            q.yaml:2:42 S001 this is not YAML: a `,` or a closing bracket is expected here [{]
              ? quote a value that holds `${…}` inside of `{ }` or `[ ]`: `"${NAME}"`
            r.yaml:2:11 S001 this is not YAML: `%` cannot begin a value [%]
              ? quote a text that begins with `%`
            s.yaml:3:6 S001 this is not YAML: a `:` cannot stand here [:]
              ? check the indentation: keys of one mapping begin in the same column
            t.yaml:5:4 S001 this is not YAML: a key is expected here [f]
              ? check the indentation: keys of one mapping begin in the same column
            u.yaml:4:4 S001 this is not YAML: a `:` cannot stand here [:]
              ? check the indentation: keys of one mapping begin in the same column
            v.yaml:5:3 S001 this is not YAML: this line has no `:` behind its key [S]
              ? indent the lines of a text deeper than its key
        "#]],
    );
}

#[test]
fn anchors_and_merge_keys_work_within_bounds() {
    check(
        &[
            (
                "a.yaml",
                "version: 1\nvars:\n  a: *nope\n  b: &b [*b]\n  c: &c {x: 1, y: 2}\n  d: {<<: *c, y: 3}\n  e: {<<: [*c, {z: 1}]}\n  f: {<<: 5}\n  g: {<<: *c, <<: *c}\n  h: {x: 1, x: 2, x: 3}\n",
            ),
            (
                "b.yaml",
                "version: 1\nvars:\n  a: &a [x,x,x,x,x,x,x,x,x,x]\n  b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n  c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n  d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n  e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n  f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n  g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\n",
            ),
            ("c.yaml", "version: 1\n? [a, b]\n: x\n: y\nnull: z\n!foo k: v\n"),
        ],
        expect![[r#"
            a.yaml:3:6 S007 `*nope` refers to an anchor that is not defined above [*nope]
              ? define it with `&nope` before this line, or quote the text: `"*nope"`
            a.yaml:4:10 S007 this alias stands inside of what it refers to [*b]
              ? write the value out, or refer to something else
            a.yaml:8:7 S008 `<<` merges mappings, but its value is not one [<<]
              ? write `<<: *name`, where `&name` marks a mapping
            a.yaml:9:15 S005 the key `<<` is written twice in one mapping [<<]
              ? remove one of the two, or rename it
              @ 9:7 it is written first here
            a.yaml:10:13 S005 the key `x` is written twice in one mapping [x]
              ? remove one of the two, or rename it
              @ 10:7 it is written first here
            a.yaml:10:19 S005 the key `x` is written twice in one mapping [x]
              ? remove one of the two, or rename it
              @ 10:7 it is written first here
            b.yaml:8:19 S011 aliases of this file stand for too much text [*e]
              = at most 500000 values may come from aliases
              ? use fewer aliases of aliases
            c.yaml:2:3 S006 a key must be a text, not a list or mapping [[a, b]]
              ? quote it if it is meant as text
            c.yaml:4:1 S006 a key is missing before this `:` []
              ? write a name before the colon
            c.yaml:5:1 S013 `null` is not a key of a pipeline file [null]
              = keys: `bronze`, `connections`, `defaults`, `description`, `gold`, `name`, `owner`, `schedule`, `silver`, `tags`, `vars`, `version`
            c.yaml:6:1 S009 the YAML tag `!foo` means nothing here [!foo]
              ? remove the tag, or quote the text if it begins with `!`
            c.yaml:6:6 S013 `k` is not a key of a pipeline file [k]
              = keys: `bronze`, `connections`, `defaults`, `description`, `gold`, `name`, `owner`, `schedule`, `silver`, `tags`, `vars`, `version`
        "#]],
    );
}

#[test]
fn keys_of_a_table_are_checked() {
    check(
        &[
            (
                "a.yaml",
                "version: 1\nbronze:\n  t:\n    frm: {}\n    From: {}\n    chunk: {rows: 5e4, bytes: 10MBB}\n    cdc: {strategy: hybird, lookback: 30}\n    guard: {allow_empty: yes, max_shrink: 0.5, max_delete: 150%}\n    key: id\n    load: [append]\n    layout: compact\n    to:\n    checks: {type: unique}\n    description: 5\n    owner: null\n    tags: [2024, a-b]\n",
            ),
            (
                "b.yaml",
                "version: 1\nbronze:\n  u:\n    from: {connection: c, table: t}\n    chunk: {rows: 0, parallel: -1, bytes: 64}\n    cdc: {strategy: window, window: monat, refresh_last: 010, lookback: 99999999999999999999d}\n    load: {mode: Upsert, max_transaction: 2 sec, workers: 1e3, disable_indexes: \"true\", transaction_rows: 9223372036854775808}\n    layout: {partition_by: [hour(x), dya(y)], compression: zstd(99), min_file_rows: 12:30}\n    checks:\n      - {type: unqiue, columns: [a]}\n      - {type: unique, colums: [a]}\n      - {columns: [a]}\n      - {type: freshness, column: a, max_age: 5}\n      - unique\n      -\n      - {type: row_count, min: x}\n      - {type: not_null, columns: a, on_fail: wran, max_failed: 5 %}\n    \u{a0}key: [a]\n",
            ),
        ],
        expect![[r#"
            a.yaml:4:5 S013 `frm` is not a key of a Bronze table [frm]
              ? did you mean `from`?
            a.yaml:5:5 S013 `From` is not a key of a Bronze table [From]
              ? did you mean `from`?
            a.yaml:6:19 S018 `chunk.rows` expects a number of rows above 0, or `auto`; found the number `5e4` [5e4]
              ? write `50000`
            a.yaml:6:31 S018 `chunk.bytes` expects a size with a unit; found the text `10MBB` [10MBB]
              ? write `10MB`
            a.yaml:7:21 S016 `cdc.strategy` cannot be `hybird` [hybird]
              = choices: `full`, `id`, `timestamp`, `hybrid`, `window`, `diff`, `log`
              ? did you mean `hybrid`?
            a.yaml:7:39 S018 `cdc.lookback` expects a duration with units; found the number `30` [30]
              ? add a unit: `30s`, `30m`, `30h` or `30d`
            a.yaml:8:26 S014 `guard.allow_empty` expects `true` or `false`; found the text `yes` [yes]
              ? write `true`
            a.yaml:8:43 S018 `guard.max_shrink` expects a percentage; found the number `0.5` [0.5]
              ? write `50%`
            a.yaml:8:60 S018 `guard.max_delete` expects a percentage; found the text `150%` [150%]
              ? percentages go from `0%` to `100%`
            a.yaml:9:10 S014 `key` expects a list; found the text `id` [id]
              ? write it as a list: `[…]`
            a.yaml:10:11 S014 `load` expects a mapping; found a list [[append]]
              ? write it like `{ mode: … }`
            a.yaml:11:13 S014 `layout` expects a mapping; found the text `compact` [compact]
              ? write it like `{ partition_by: … }`
            a.yaml:12:7 S015 `to` has no value []
              ? write a mapping, such as `{ connection: … }`, or remove the key
            a.yaml:13:13 S014 `checks` expects a list; found a mapping [{type: unique}]
              ? write it like `[a, b]`
            a.yaml:14:18 S014 `description` expects a text; found the number `5` [5]
              ? quote it: `"5"`
            a.yaml:15:12 S015 `owner` has no value [null]
              ? write a text, or remove the key
            a.yaml:16:12 S014 `tags[0]` expects a text; found the number `2024` [2024]
              ? quote it: `"2024"`
            b.yaml:5:19 S017 `chunk.rows` expects a number of rows above 0, or `auto`; this one is out of range [0]
              = the greatest is 9223372036854775807; negative numbers mean nothing here
            b.yaml:5:32 S017 `chunk.parallel` expects a whole number; this one is out of range [-1]
              = the greatest is 9223372036854775807; negative numbers mean nothing here
            b.yaml:5:43 S018 `chunk.bytes` expects a size with a unit; found the number `64` [64]
              ? add a unit: `64B`, `64KiB`, `64MiB` or `64GiB`
            b.yaml:6:37 S016 `cdc.window` cannot be `monat` [monat]
              = choices: `day`, `week`, `month`
            b.yaml:6:58 S018 `cdc.refresh_last` expects a whole number; found the text `010` [010]
              ? write `10`, without quotes or leading zeros
            b.yaml:6:73 S018 `cdc.lookback` expects a duration with units; found the text `99999999999999999999d` [99999999999999999999d]
              ? write it like `1h30m`
            b.yaml:7:18 S016 `load.mode` cannot be `Upsert` [Upsert]
              = choices: `append`, `upsert`, `replace`, `window`, `replace_partitions`, `scd2`
              ? did you mean `upsert`?
            b.yaml:7:43 S018 `load.max_transaction` expects a duration with units; found the text `2 sec` [2 sec]
              ? write `2s`
            b.yaml:7:59 S018 `load.workers` expects a whole number; found the number `1e3` [1e3]
              ? write `1000`
            b.yaml:7:81 S014 `load.disable_indexes` expects `true` or `false`; found the text `true` ["true"]
              ? write `true`
            b.yaml:7:107 S017 `load.transaction_rows` expects a whole number; this one is out of range [9223372036854775808]
              = the greatest is 9223372036854775807; negative numbers mean nothing here
            b.yaml:8:29 S018 `layout.partition_by[0]` expects a column, `identity(c)`, `day(c)`, `month(c)` or `year(c)`; found the text `hour(x)` [hour(x)]
              ? write it like `day(created_at)`
            b.yaml:8:38 S018 `layout.partition_by[1]` expects a column, `identity(c)`, `day(c)`, `month(c)` or `year(c)`; found the text `dya(y)` [dya(y)]
              ? write `day(y)`
            b.yaml:8:60 S018 `layout.compression` expects `zstd(1)` to `zstd(22)`, `snappy`, `lz4`, `gzip` or `none`; found the text `zstd(99)` [zstd(99)]
              ? levels of `zstd` go from 1 to 22
            b.yaml:8:85 S018 `layout.min_file_rows` expects a whole number; found the text `12:30` [12:30]
              ? write it like `50000`
            b.yaml:10:16 S016 `checks[0].type` cannot be `unqiue` [unqiue]
              = choices: `not_null`, `unique`, `accepted_values`, `expression`, `row_count`, `freshness`, `relationship`, `reconciles_with`
              ? did you mean `unique`?
            b.yaml:11:24 S013 `colums` is not a key of `checks[1]` [colums]
              ? did you mean `columns`?
            b.yaml:12:10 S019 `checks[2]` needs the key `type` [columns]
              = choices: `not_null`, `unique`, `accepted_values`, `expression`, `row_count`, `freshness`, `relationship`, `reconciles_with`
              ? add `type`
            b.yaml:13:47 S018 `checks[3].max_age` expects a duration with units; found the number `5` [5]
              ? add a unit: `5s`, `5m`, `5h` or `5d`
            b.yaml:14:9 S014 `checks[4]` expects a mapping; found the text `unique` [unique]
              ? write it like `{ type: not_null, … }`
            b.yaml:15:8 S015 `checks[5]` has no value []
              ? write a mapping, such as `{ type: not_null, … }`, or remove the key
            b.yaml:16:32 S018 `checks[6].min` expects a whole number; found the text `x` [x]
              ? write it like `50000`
            b.yaml:17:35 S014 `checks[7].columns` expects a list; found the text `a` [a]
              ? write it as a list: `[…]`
            b.yaml:17:47 S016 `checks[7].on_fail` cannot be `wran` [wran]
              = choices: `fail`, `warn`, `quarantine`, `drop`
              ? did you mean `warn`?
            b.yaml:17:65 S018 `checks[7].max_failed` expects a number of rows or a percentage; found the text `5 %` [5 %]
              ? write `5%`
            b.yaml:18:5 S013 ` key` is not a key of a Bronze table [ key]
              = it holds the character U+00A0, which is not ASCII
              ? did you mean `key`?
        "#]],
    );
}

#[test]
fn what_a_table_needs() {
    check(
        &[
            (
                "a.yaml",
                "version: 1\nbronze:\n  a: {}\n  b: {from: {}}\n  c: {from: {connection: x, table: t, query: q}}\n  d: {from: x}\n  e: {from:}\n  f:\n  g: [x]\n  h: text\n  i: {from: {connection: x, table: ''}}\nsilver:\n  a: {key: [x]}\n  b: {sql: SELECT 1, sql_file: x.sql}\n  c: {sql: ''}\n  d: {sql: }\n  e: {sql_file: x/y.sql}\n  f: {sql: SELECT 1, from: {}}\n  g: {sql: SELECT 1, incremental: {strategy: newrows, inputs: [x]}}\n  h: {sql: SELECT 1, incremental: {strategy: new_rows, input: x}}\n  i: {sql: [a]}\n  j: {sql: SELECT 1, cdc: {}}\n",
            ),
            ("x/z.sql", "SELECT 1"),
        ],
        expect![[r#"
            a.yaml:3:3 S019 a Bronze table needs the key `from` [a]
              ? add `from: { connection: …, table: … }`
            a.yaml:4:7 S019 `from` needs the key `connection` [from]
              ? add `connection` with the name of a connection
            a.yaml:4:7 S019 `from` needs one of the keys `table`, `query`, `path` [from]
              ? add `table` with the name of a table
            a.yaml:5:39 S020 `table` and `query` exclude each other [query]
              ? keep one of the two
              @ 5:29 the other one stands here
            a.yaml:6:13 S014 `from` expects a mapping; found the text `x` [x]
              ? write it like `{ connection: … }`
            a.yaml:7:11 S015 `from` has no value []
              ? write a mapping, such as `{ connection: … }`, or remove the key
            a.yaml:8:3 S019 a Bronze table needs the key `from` [f]
              ? add `from: { connection: …, table: … }`
            a.yaml:9:6 S014 the table `g` expects a mapping [[x]]
              ? write its keys below it, such as `from`
            a.yaml:10:6 S014 the table `h` expects a mapping [text]
              ? write its keys below it, such as `from`
            a.yaml:11:36 S034 `from.table` is empty ['']
              ? write a value, or remove the key
            a.yaml:13:3 S019 a Silver table needs the key `sql` or `sql_file` [a]
              ? add `sql` with one SELECT
            a.yaml:14:22 S020 `sql` and `sql_file` exclude each other [sql_file]
              ? keep one of the two
              @ 14:7 the other one stands here
            a.yaml:15:7 S034 `sql` is empty [sql]
              ? write one SELECT
            a.yaml:16:10 S015 `sql` has no value []
              ? write a text, or remove the key
            a.yaml:17:17 S033 the SQL file `x/y.sql` is not there [x/y.sql]
              = paths are relative to the project root and end in `.sql`
              ? did you mean `x/z.sql`?
            a.yaml:18:22 S013 `from` is not a key of a Silver table [from]
              = keys: `checks`, `dedup`, `depends_on`, `description`, `for_each`, `guard`, `incremental`, `key`, `layout`, `load`, `owner`, `schema_changes`, `sql`, `sql_file`, `tags`, `tests`, `to`, `types`
            a.yaml:19:46 S016 `incremental.strategy` cannot be `newrows` [newrows]
              = choices: `new_rows`, `touched_partitions`
              ? did you mean `new_rows`?
            a.yaml:20:56 S013 `input` is not a key of `incremental` [input]
              ? did you mean `inputs`?
            a.yaml:21:12 S014 `sql` expects a text; found a list [[a]]
            a.yaml:22:22 S013 `cdc` is not a key of a Silver table [cdc]
              = keys: `checks`, `dedup`, `depends_on`, `description`, `for_each`, `guard`, `incremental`, `key`, `layout`, `load`, `owner`, `schema_changes`, `sql`, `sql_file`, `tags`, `tests`, `to`, `types`
        "#]],
    );
}

#[test]
fn names_follow_one_rule_and_are_unique() {
    check(
        &[
            (
                "a.yaml",
                "version: 1\nname: A b\nbronze:\n  NO: &t {from: {connection: x, table: t}}\n  order-lines: *t\n  ünï: *t\n  1st: *t\n  a: *t\n  aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: *t\n  '': *t\n  a.b: *t\n  ${X}: *t\n  true: *t\nconnections:\n  My DB: {type: sqlite, path: x}\nvars: {Q-1: 1}\n",
            ),
            ("b.yaml", "version: 1\nname: c\nbronze: {a: {from: {connection: x, table: t}}}\n"),
            ("c.yaml", "version: 1\n"),
            ("D e.yaml", "version: 1\n"),
        ],
        expect![[r#"
            D e.yaml:1:1 S021 `D e` cannot name a pipeline []
              = names match `[a-z_][a-z0-9_]*`
              = the name comes from the file; the key `name` can give another
              ? write `d_e`
            a.yaml:2:7 S021 `A b` cannot name a pipeline [A b]
              = names match `[a-z_][a-z0-9_]*`
              ? write `a_b`
            a.yaml:4:3 S021 `NO` cannot name a table [NO]
              = names match `[a-z_][a-z0-9_]*`
              ? write `no`
            a.yaml:5:3 S021 `order-lines` cannot name a table [order-lines]
              = names match `[a-z_][a-z0-9_]*`
              ? write `order_lines`
            a.yaml:6:3 S021 `ünï` cannot name a table [ünï]
              = names match `[a-z_][a-z0-9_]*`
              = it holds the character U+00FC, which is not ASCII
            a.yaml:7:3 S021 `1st` cannot name a table [1st]
              = names match `[a-z_][a-z0-9_]*`
              ? write `_1st`
            a.yaml:9:3 S021 the table name holds 64 bytes [aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]
              = names hold at most 63 bytes
              ? shorten it
            a.yaml:10:3 S021 the table name is empty ['']
              = names match `[a-z_][a-z0-9_]*`
            a.yaml:11:3 S021 `a.b` cannot name a table [a.b]
              = names match `[a-z_][a-z0-9_]*`
              ? write `a_b`
            a.yaml:12:3 S021 `${X}` cannot name a table [${X}]
              = names match `[a-z_][a-z0-9_]*`
              = `${NAME}` is read in values only
            a.yaml:15:3 S021 `My DB` cannot name a connection [My DB]
              = names match `[a-z_][a-z0-9_]*`
              ? write `my_db`
            a.yaml:16:8 S021 `Q-1` cannot name a var [Q-1]
              = names match `[a-z_][a-z0-9_]*`
              ? write `q_1`
            b.yaml:3:10 S022 the table `bronze.a` is defined twice [a]
              ? rename one of the two
              @ 8:3 it is defined first here
            c.yaml:1:1 S022 the pipeline name `c` is taken []
              ? give one of the two another `name`
              @ 2:7 this pipeline has it, too
        "#]],
    );
}

#[test]
fn versions_are_checked() {
    check(
        &[
            ("a.yaml", "name: a\n"),
            ("b.yaml", "version: 2\n"),
            ("c.yaml", "version: \"1\"\n"),
            ("d.yaml", "version:\n"),
            ("e.yaml", "version: [1]\n"),
            ("f.yaml", "verison: 1\n"),
            ("g.yaml", "{name: g}\n"),
        ],
        expect![[r#"
            a.yaml:1:1 S012 a pipeline file needs the key `version` [name]
              ? add `version: 1`
            b.yaml:1:10 S012 `version` must be 1 [2]
              = 1 is the only version of the language so far
              ? write `version: 1`
            c.yaml:1:10 S012 `version` must be 1 ["1"]
              = 1 is the only version of the language so far
              ? write `version: 1`
            d.yaml:1:8 S012 `version` must be 1 []
              = 1 is the only version of the language so far
              ? write `version: 1`
            e.yaml:1:10 S012 `version` must be 1 [[1]]
              = 1 is the only version of the language so far
              ? write `version: 1`
            f.yaml:1:1 S013 `verison` is not a key of a pipeline file [verison]
              ? did you mean `version`?
            g.yaml:1:2 S012 a pipeline file needs the key `version` [name]
              ? add `version: 1`
        "#]],
    );
}

#[test]
fn connections_are_checked_without_showing_values() {
    check(
        &[(
            "a.yaml",
            "version: 1\nconnections:\n  a: {type: postgrse, url: postgres://h}\n  b: {type: postgres, url: 'postgres://u:geh@eim@h:99999/x'}\n  c: {type: postgres, host: h, port: 0, password: 12345}\n  d: {type: postgres, host: h, port: 99999}\n  e: {type: postgres, host: h, port: 54 32}\n  f: {type: postgres, hots: h, sslmode: requier}\n  g: {url: postgres://h}\n  h: sqlite\n  i:\n  j: {type: sqlite}\n  k: {type: sqlite, path: [a]}\n  l: {type: files, path: s4://x, format: cvs, csv: {delimeter: ';', header: yes}}\n  m: {type: mariadb, url: x}\n  n: {type: [x]}\n  o: {type: mysql, url: 'mysql://::1:3306/x'}\n  p: {type: mysql, port: \"${PORT}\", url: \"${URL}\"}\n  q: {type: files, path: 's3:///x'}\n",
        )],
        expect![[r#"
            a.yaml:3:13 S030 `postgrse` is not the type of a connection [postgrse]
              = types: `delta`, `files`, `mysql`, `postgres`, `sqlite`
              ? did you mean `postgres`?
            a.yaml:4:28 S031 `connections.b.url` holds an unescaped `@` in its user or password ['postgres://u:geh@eim@h:99999/x']
              ? write `@` as `%40`
            a.yaml:5:38 S031 `connections.c.port` has a port that does not exist [0]
              ? write a port from 1 to 65535
            a.yaml:5:51 S014 `connections.c.password` expects a text; found a number [12345]
              ? quote it
            a.yaml:6:38 S017 `connections.d.port` expects a number from 0 to 65535; found a number [99999]
            a.yaml:7:38 S014 `connections.e.port` expects a whole number; found a text [54 32]
            a.yaml:8:23 S013 `hots` is not a key of the connection `f` [hots]
              ? did you mean `host`?
            a.yaml:8:41 S016 `connections.f.sslmode` cannot be `requier` [requier]
              = choices: `disable`, `require`
              ? did you mean `require`?
            a.yaml:9:3 S019 the connection `g` needs the key `type` [g]
              = types: `delta`, `files`, `mysql`, `postgres`, `sqlite`
              ? add `type`
            a.yaml:10:6 S014 the connection `h` expects a mapping [sqlite]
              ? write it like `{ type: sqlite, path: data.db }`
            a.yaml:11:4 S014 the connection `i` expects a mapping []
              ? write it like `{ type: sqlite, path: data.db }`
            a.yaml:12:6 S019 the connection `j` needs the key `path` [{type: sqlite}]
              ? add `path`: a text
            a.yaml:13:27 S014 `connections.k.path` expects a text; found a list [[a]]
            a.yaml:14:26 S031 `connections.l.path` has the scheme `s4`, which no store has [s4://x]
              = schemes: `s3`, `gs`, `az`, `abfss`, `file`
              ? did you mean `s3`?
            a.yaml:14:42 S016 `connections.l.format` cannot be `cvs` [cvs]
              = choices: `parquet`, `csv`, `ndjson`
              ? did you mean `csv`?
            a.yaml:14:53 S013 `delimeter` is not a key of `connections.l.csv` [delimeter]
              ? did you mean `delimiter`?
            a.yaml:14:77 S014 `connections.l.csv.header` expects `true` or `false`; found a text [yes]
              ? write `true`
            a.yaml:15:13 S030 `mariadb` is not the type of a connection [mariadb]
              = types: `delta`, `files`, `mysql`, `postgres`, `sqlite`
              ? did you mean `mysql`?
            a.yaml:16:13 S030 `type` expects the name of a plugin [[x]]
              = types: `delta`, `files`, `mysql`, `postgres`, `sqlite`
            a.yaml:17:25 S031 `connections.o.url` has more than one `:` in its host ['mysql://::1:3306/x']
              ? put brackets around an IPv6 address: `[::1]`; write `:` in a password as `%3A`
            a.yaml:19:26 S031 `connections.q.path` names no bucket ['s3:///x']
              ? write it like `s3://bucket/folder`
        "#]],
    );
}

#[test]
fn schedules_are_checked() {
    check(
        &[
            ("a.yaml", "version: 1\nschedule: {cron: '* * * *', timezone: Europe/Berln}\n"),
            ("b.yaml", "version: 1\nschedule: {cron: '61 * * * *'}\n"),
            ("c.yaml", "version: 1\nschedule: {cron: '@daily', timezone: CEST}\n"),
            ("d.yaml", "version: 1\nschedule: 5m\n"),
            ("e.yaml", "version: 1\nschedule: {timezone: UTC}\n"),
            ("f.yaml", "version: 1\nschedule: {cron: '0 0 * * * *'}\n"),
        ],
        expect![[r#"
            a.yaml:2:18 S032 the cron expression has 4 fields ['* * * *']
              = five fields: minute, hour, day of month, month, day of week
              ? write five, such as `*/15 * * * *` for every 15 minutes
            a.yaml:2:39 S032 `Europe/Berln` is not a time zone [Europe/Berln]
              = time zones are those of the IANA database
              ? did you mean `Europe/Berlin`?
            b.yaml:2:18 S032 the cron expression `61 * * * *` cannot be read ['61 * * * *']
              = five fields: minute, hour, day of month, month, day of week
              = Number out of bounds
              ? write five fields, such as `*/15 * * * *`
            c.yaml:2:18 S032 `@daily` is a nickname, not a cron expression ['@daily']
              = five fields: minute, hour, day of month, month, day of week
              ? write five fields, such as `0 * * * *` for every hour
            c.yaml:2:38 S032 `CEST` is not a time zone [CEST]
              = time zones are those of the IANA database
              ? did you mean `CET`?
            d.yaml:2:11 S014 `schedule` expects a mapping; found the text `5m` [5m]
              ? write it like `{ cron: … }`
            e.yaml:2:12 S019 `schedule` needs the key `cron` [timezone]
              ? add `cron`: a text
            f.yaml:2:18 S032 the cron expression has 6 fields ['0 0 * * * *']
              = five fields: minute, hour, day of month, month, day of week
              ? write five, such as `*/15 * * * *` for every 15 minutes
        "#]],
    );
}

#[test]
fn templates_point_at_the_tag() {
    check(
        &[(
            "a.yaml",
            "version: 1\nvars: {quote: USDT, list: [1]}\nsilver:\n  a: {sql: \"SELECT {{ vars.qoute }}, {{ var.quote }}\"}\n  b:\n    sql: |\n      SELECT 1,\n        {{ vars.quote | uper }}\n  c: {sql: 'SELECT {{ 1 +  }}'}\n  d: {sql: 'SELECT {% if x %} 1'}\n  e: {sql: 'SELECT {{ vars.quote'}\n  f: {sql: 'SELECT {% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}'}\n  g: {sql: \"{% include 'x' %}\"}\n  h: {sql: 'SELECT {{ vars.quote + 1 }}'}\n  i: {sql: 'SELECT {{ nope() }}'}\n  j: {sql: {{ vars.quote }}}\n  {{ vars.quote }}: {sql: SELECT 1}\n  \"k_{{ nope }}\": {sql: SELECT 1}\n  l: {sql: 'SELECT {{ \"x\" * 100000000000 }}'}\n  m: {sql: SELECT 1, \"k{{ vars.quote }}\": 1}\n  n: {sql: '{{ vars.list[3] }}'}\n  o: {sql: '{{ loop.index }} {{ vars.quote.x }}'}\n",
        )],
        expect![[r#"
            a.yaml:4:23 S027 the template reads `vars.qoute`, which is not defined [vars.qoute]
              = `vars` has: `list`, `quote`
              ? did you mean `quote`?
            a.yaml:4:41 S027 the template reads `var`, which is not defined [var]
              = defined names: `is_incremental`, `this`, `vars`
              ? did you mean `vars`?
            a.yaml:8:25 S027 the template uses what does not exist: filter uper is unknown [uper]
            a.yaml:9:28 S026 the template does not parse: unexpected end of variable block [}}]
            a.yaml:10:30 S026 the template does not parse: unexpected end of input, expected end of block [ 1]
            a.yaml:11:20 S026 `{{` is never closed [{{]
              ? add the missing end, or write `{{ '{{' }}` for literal braces
            a.yaml:12:60 S028 the template takes too many steps [range(100000)]
              = at most 100000 steps are done
            a.yaml:13:16 S026 the template does not parse: unknown statement include [include]
            a.yaml:14:23 S028 the template fails: tried to use + operator on unsupported types string and number [vars.quote + 1]
            a.yaml:15:23 S027 the template uses what does not exist: nope is unknown [nope()]
            a.yaml:16:12 S029 a value or key that begins with a template must be quoted [{{ vars.quote }}]
              = without quotes YAML reads `{` as the start of a mapping
              ? put double quotes around the whole value
            a.yaml:17:3 S029 a value or key that begins with a template must be quoted [{{ vars.quote }}]
              = without quotes YAML reads `{` as the start of a mapping
              ? put double quotes around the whole value
            a.yaml:18:9 S027 the template reads `nope`, which is not defined [nope]
              = defined names: `vars`
            a.yaml:19:23 S028 the template fails: repeated string is too large ["x" * 100000000000]
            a.yaml:20:22 S006 the key `k{{ vars.quote }}` holds a template ["k{{ vars.quote }}"]
              = templates and `${NAME}` are read in values and in names of tables only
              ? write the key out
            a.yaml:20:22 S013 `k{{ vars.quote }}` is not a key of a Silver table ["k{{ vars.quote }}"]
              = keys: `checks`, `dedup`, `depends_on`, `description`, `for_each`, `guard`, `incremental`, `key`, `layout`, `load`, `owner`, `schema_changes`, `sql`, `sql_file`, `tags`, `tests`, `to`, `types`
            a.yaml:21:16 S027 the template reads `vars.list[3]`, which is not defined [vars.list[3]]
            a.yaml:22:33 S027 the template reads `vars.quote.x`, which is not defined [vars.quote.x]
        "#]],
    );
}

#[test]
fn variables_of_the_environment() {
    check(
        &[(
            "a.yaml",
            "version: 1\ndescription: \"${A} $${B} ${} ${C:-d}\"\nowner: \"${1x}\"\nsilver:\n  s: {sql: 'SELECT {{ \"${X}\" }} ${Y'}\n  t: {sql: 'SELECT ${A:-${B}}'}\n  u: {sql: 'SELECT ${A-b}'}\nbronze:\n  t:\n    from: {connection: x, table: t}\n    chunk: {rows: \"${N:-5x}\", bytes: \"${B:-5}\", parallel: \"${P:-2}\"}\n",
        )],
        expect![[r#"
            a.yaml:2:26 S025 `${}` does not name an environment variable [${}]
              = a name matches `[A-Za-z_][A-Za-z0-9_]*`; a default follows after `:-`
              ? write `${NAME}` or `${NAME:-default}`, or `$${` for a literal `${`
            a.yaml:3:9 S025 `${1x}` does not name an environment variable [${1x}]
              = a name matches `[A-Za-z_][A-Za-z0-9_]*`; a default follows after `:-`
              ? write `${NAME}` or `${NAME:-default}`, or `$${` for a literal `${`
            a.yaml:5:24 S025 `${…}` cannot stand inside a template tag [${]
              ? put it beside the tag, or use a var
            a.yaml:5:33 S025 `${` is never closed [${]
              ? write `${NAME}`, or `$${` for a literal `${`
            a.yaml:6:20 S025 a default cannot hold another `${…}` [${A:-${B}]
              ? write the default out
            a.yaml:7:20 S025 `${A-b}` does not name an environment variable [${A-b}]
              = a name matches `[A-Za-z_][A-Za-z0-9_]*`; a default follows after `:-`
              ? write `${NAME}` or `${NAME:-default}`, or `$${` for a literal `${`
            a.yaml:11:19 S018 `chunk.rows` expects a number of rows above 0, or `auto`; found the text `5x` ["${N:-5x}"]
              ? write it like `50000`
            a.yaml:11:38 S018 `chunk.bytes` expects a size with a unit; found the number `5` ["${B:-5}"]
              ? add a unit: `5B`, `5KiB`, `5MiB` or `5GiB`
        "#]],
    );
}

#[test]
fn for_each_is_checked() {
    check(
        &[(
            "a.yaml",
            "version: 1\nbronze:\n  \"a_{{ x }}\": {for_each: [1], from: &f {connection: c, table: t}}\n  \"b_{{ x }}\": {for_each: {x: a}, from: *f}\n  \"c_{{ x }}\": {for_each: {x: []}, from: *f}\n  \"d_{{ x }}\": {for_each: {x: [[1]]}, from: *f}\n  \"e_{{ x.n }}\": {for_each: {x: [{n: 1}, {m: 2}, 3]}, from: *f}\n  \"f_{{ vars }}\": {for_each: {vars: [1]}, from: *f}\n  g: {for_each: {x: [1, 2]}, from: *f}\n  \"h_{{ x }}\": {for_each: {x: [A, b-c]}, from: *f}\n  \"i_{{ y }}\": {for_each: {x: [1]}, from: *f}\n  \"j_{{ x }}\": {for_each: {}, from: *f}\n  \"k_{{ x }}\": {for_each: {x: [1, ~]}, from: *f}\n  \"l_{{ x }}\": {for_each: {x: [1, 2]}, from: *f, key: \"{{ x }}\", chunk: {rows: \"{{ x }}x\"}}\n",
        )],
        expect![[r#"
            a.yaml:3:27 S023 `for_each` expects a mapping from names to lists [[1]]
              ? write it like `for_each: { bar: [1m, 1h] }`
            a.yaml:4:31 S023 `for_each.x` expects a list [a]
              ? write it as a list: `[…]`
            a.yaml:5:31 S023 `for_each.x` has no elements, so no table is made [[]]
              ? add an element, or remove the table
            a.yaml:6:32 S023 an element of `for_each` is a list [[1]]
              ? give all elements the same form: scalars, or mappings with the same keys
            a.yaml:7:42 S023 this element of `for_each` has no `n`; the first one has [{m: 2}]
              ? give all elements the same form: scalars, or mappings with the same keys
            a.yaml:7:50 S023 some elements of `for_each` are mappings, this one is not [3]
              ? give all elements the same form: scalars, or mappings with the same keys
            a.yaml:8:31 S023 `vars` is a name that templates have already [vars]
              ? choose another name for the variable
            a.yaml:9:3 S022 the table `bronze.g` is defined twice [g]
              ? make the name differ for every element of `for_each`
            a.yaml:10:3 S021 `h_A` cannot name a table ["h_{{ x }}"]
              = names match `[a-z_][a-z0-9_]*`
              ? write `h_a`
            a.yaml:11:9 S027 the template reads `y`, which is not defined [y]
              = defined names: `vars`, `x`
              ? did you mean `x`?
            a.yaml:12:27 S023 `for_each` names no variable [{}]
              ? write it like `for_each: { bar: [1m, 1h] }`, or remove it
            a.yaml:13:35 S023 an element of `for_each` has no value [~]
              ? give all elements the same form: scalars, or mappings with the same keys
            a.yaml:14:55 S014 `key` expects a list; found the number `1` ["{{ x }}"]
              ? write it as a list: `[…]`
            a.yaml:14:80 S018 `chunk.rows` expects a number of rows above 0, or `auto`; found the text `1x` ["{{ x }}x"]
              ? write it like `50000`
        "#]],
    );
}

#[test]
fn defaults_are_checked_and_merged() {
    check(
        &[
            ("a.yaml", "version: 1\ndefaults:\n  bronze: {chnk: {}, cdc: {strategy: ful}, dedup: {keep: last}}\n  sliver: {}\n  gold: [x]\nbronze:\n"),
            (
                "karat.yaml",
                "version: 1\nnamee: x\ndefaults: {bronze: {key: a}}\nstate: {type: sqlte}\nlint: {levels: {S001: of}}\nmemory_limit: 5GiB\njobs: 0.5\nconnections: {x: {type: delta, path: y}}\n",
            ),
        ],
        expect![[r#"
            a.yaml:3:12 S013 `chnk` is not a key of a Bronze table [chnk]
              ? did you mean `chunk`?
            a.yaml:3:38 S016 `cdc.strategy` cannot be `ful` [ful]
              = choices: `full`, `id`, `timestamp`, `hybrid`, `window`, `diff`, `log`
              ? did you mean `full`?
            a.yaml:4:3 S013 `sliver` is not a key of `defaults` [sliver]
              ? did you mean `silver`?
            a.yaml:5:9 S014 a Gold table expects a mapping; found a list [[x]]
              ? write it like `{ description: … }`
            karat.yaml:2:1 S013 `namee` is not a key of the project file [namee]
              ? did you mean `name`?
            karat.yaml:3:26 S014 `key` expects a list; found the text `a` [a]
              ? write it as a list: `[…]`
            karat.yaml:4:15 S016 `state.type` cannot be `sqlte` [sqlte]
              = choices: `sqlite`, `postgres`
              ? did you mean `sqlite`?
            karat.yaml:5:23 S016 `lint.levels.S001` cannot be `of` [of]
              = choices: `off`, `note`, `warn`, `error`
              ? did you mean `off`?
            karat.yaml:7:7 S018 `jobs` expects a whole number; found the number `0.5` [0.5]
              ? write it like `50000`
        "#]],
    );
}

#[test]
fn sections_of_a_file() {
    check(
        &[("a.yaml", "version: 1\nbronze: [a]\nsilver: text\ngold:\nvars: 5\nconnections:\ndefaults: []\nplatinum: {}\nbronce: {}\n")],
        expect![[r#"
            a.yaml:2:9 S014 `bronze` expects a mapping from names; found a list [[a]]
              ? write it like `bronze: { name: … }`
            a.yaml:3:9 S014 `silver` expects a mapping from names; found a text [text]
              ? write it like `silver: { name: … }`
            a.yaml:5:7 S014 `vars` expects a mapping from names; found a text [5]
              ? write it like `vars: { name: … }`
            a.yaml:7:11 S014 `defaults` expects a mapping from names; found a list [[]]
              ? write it like `defaults: { name: … }`
            a.yaml:8:1 S013 `platinum` is not a key of a pipeline file [platinum]
              = keys: `bronze`, `connections`, `defaults`, `description`, `gold`, `name`, `owner`, `schedule`, `silver`, `tags`, `vars`, `version`
            a.yaml:9:1 S013 `bronce` is not a key of a pipeline file [bronce]
              ? did you mean `bronze`?
        "#]],
    );
}

#[test]
fn templates_are_bounded() {
    let doubling = "{% set a = a ~ a %}".repeat(40);
    let capture = "{% set a %}{{ a }}{{ a }}{{ a }}{% endset %}".repeat(30);
    let yaml = format!(
        "version: 1\nsilver:\n  a: {{sql: 'x{{% set a = \"xxxxxxxxxx\" %}}{doubling}'}}\n  b: {{sql: 'x{{% set a = \"xxxxxxxxxx\" %}}{capture}'}}\n  c: {{sql: '{{{{ \"x\" * 1000000 * 50 }}}}'}}\n  d: {{sql: '{{% macro m() %}}{{% endmacro %}} x'}}\n  e: {{sql: '{{{{ (\"x\" * 100000) | replace(\"x\", \"y\" * 100) }}}}'}}\n  f: {{sql: '{{% set n = namespace(a=1) %}} x'}}\n"
    );
    check(
        &[("a.yaml", &yaml)],
        expect![[r#"
        a.yaml:3:192 S028 the statements of this template hold too many `~`, `+` and `*` [{% set a = a ~ a %}]
          ? make the text in `{{ … }}` instead
        a.yaml:4:494 S028 the template makes too much text [a]
          = at most 1048576 bytes are made
        a.yaml:5:16 S028 the template makes too much text ["x" * 1000000 * 50]
          = at most 1048576 bytes are made
        a.yaml:6:16 S026 the template does not parse: unknown statement macro [macro]
        a.yaml:7:33 S028 the template makes too much text [replace("x", "y" * 100)]
          = at most 1048576 bytes are made
        a.yaml:8:24 S027 the template uses what does not exist: namespace is unknown [namespace(a=1)]
    "#]],
    );
}

#[test]
fn aliases_of_aliases_nest_within_bounds() {
    let mut yaml = String::from("version: 1\nvars:\n  a0: &a0 [x]\n");
    for at in 1..900 {
        let _ = writeln!(yaml, "  a{at}: &a{at} [*a{}]", at - 1);
    }
    check(
        &[("a.yaml", &yaml)],
        expect![[r#"
        a.yaml:131:16 S011 aliases of aliases nest too deeply [*a127]
          = at most 128 levels are read
          ? write the value out
        a.yaml:259:16 S011 aliases of aliases nest too deeply [*a255]
          = at most 128 levels are read
          ? write the value out
        a.yaml:387:16 S011 aliases of aliases nest too deeply [*a383]
          = at most 128 levels are read
          ? write the value out
        a.yaml:515:16 S011 aliases of aliases nest too deeply [*a511]
          = at most 128 levels are read
          ? write the value out
        a.yaml:643:16 S011 aliases of aliases nest too deeply [*a639]
          = at most 128 levels are read
          ? write the value out
        a.yaml:771:16 S011 aliases of aliases nest too deeply [*a767]
          = at most 128 levels are read
          ? write the value out
        a.yaml:899:16 S011 aliases of aliases nest too deeply [*a895]
          = at most 128 levels are read
          ? write the value out
    "#]],
    );
}
