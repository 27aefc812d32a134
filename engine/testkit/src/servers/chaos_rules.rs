//! What a proxy does to the bytes that pass.

use std::time::Duration;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// When a connection is cut. Both ends then see a reset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    pub(super) when: When,
    pub(super) times: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum When {
    /// This many bytes of one connection have passed.
    Passed(Direction, u64),
    /// These bytes are about to pass.
    Before(Direction, Vec<u8>),
    /// The server answers to these bytes of the client.
    ReplyTo(Vec<u8>),
}

impl Cut {
    /// As soon as one connection has carried `bytes` bytes in this direction; those still arrive.
    #[must_use]
    pub fn after_bytes(direction: Direction, bytes: u64) -> Self {
        Self { when: When::Passed(direction, bytes), times: None }
    }

    /// Before these bytes arrive: the other side never sees them. `Cut::before(Direction::ToServer, b"COMMIT")` loses the request.
    #[must_use]
    pub fn before(direction: Direction, bytes: &[u8]) -> Self {
        Self { when: When::Before(direction, bytes.into()), times: None }
    }

    /// When the server answers to these bytes: it has done what they ask, and the client never hears of it.
    #[must_use]
    pub fn reply_to(bytes: &[u8]) -> Self {
        Self { when: When::ReplyTo(bytes.into()), times: None }
    }

    /// Only for the first `times` connections that it strikes; else for all.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }
}

/// All rules of a proxy.
#[derive(Debug, Default)]
pub(super) struct Rules {
    pub(super) cuts: Vec<Cut>,
    pub(super) delay: Duration,
    pub(super) refuses: bool,
    pub(super) swallows: bool,
    pub(super) slice: Option<usize>,
}

/// What one connection has carried in one direction, as far as rules ask.
#[derive(Debug)]
pub(super) struct Passage {
    direction: Direction,
    bytes: u64,
    /// The last bytes, for patterns that come in two pieces.
    tail: Vec<u8>,
}

/// What becomes of a piece of data.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    /// This many bytes pass, then both ends are cut.
    CutAfter(usize),
    /// The piece passes, and the next answer is the end.
    CutAtReply,
}

impl Passage {
    pub(super) fn new(direction: Direction) -> Self {
        Self { direction, bytes: 0, tail: Vec::new() }
    }

    /// Judges the next piece by the rules; a rule that strikes is used up once.
    pub(super) fn judge(&mut self, rules: &mut Rules, piece: &[u8]) -> Verdict {
        let mut seen = std::mem::take(&mut self.tail);
        let known = seen.len();
        seen.extend_from_slice(piece);
        let mut verdict = Verdict::Pass;
        for cut in &mut rules.cuts {
            if cut.times == Some(0) {
                continue;
            }
            let found = match &cut.when {
                When::Passed(direction, most) if *direction == self.direction && self.bytes + piece.len() as u64 >= *most => {
                    Some(Verdict::CutAfter(as_length(most.saturating_sub(self.bytes))))
                }
                // Bytes of the pattern that passed with the last piece cannot be called back.
                When::Before(direction, pattern) if *direction == self.direction => position(&seen, pattern).map(|at| Verdict::CutAfter(at.saturating_sub(known))),
                When::ReplyTo(pattern) if self.direction == Direction::ToServer => position(&seen, pattern).map(|_| Verdict::CutAtReply),
                When::Passed(..) | When::Before(..) | When::ReplyTo(_) => None,
            };
            if let Some(found) = found {
                cut.times = cut.times.map(|times| times - 1);
                verdict = found;
                break;
            }
        }
        self.bytes += piece.len() as u64;
        let longest = rules.cuts.iter().map(|cut| cut.when.pattern().len()).max().unwrap_or(0);
        self.tail = seen.split_off(seen.len() - seen.len().min(longest.saturating_sub(1)));
        verdict
    }
}

impl When {
    fn pattern(&self) -> &[u8] {
        match self {
            Self::Passed(..) => &[],
            Self::Before(_, pattern) | Self::ReplyTo(pattern) => pattern,
        }
    }
}

fn position(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len().max(1)).position(|window| window == pattern)
}

fn as_length(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(cut: Cut, pieces: &[&str]) -> Vec<Verdict> {
        let mut rules = Rules { cuts: vec![cut], ..Rules::default() };
        let mut passage = Passage::new(Direction::ToServer);
        pieces.iter().map(|piece| passage.judge(&mut rules, piece.as_bytes())).collect()
    }

    #[test]
    fn a_pattern_is_found_across_pieces_and_only_as_often_as_asked() {
        let cut = || Cut::before(Direction::ToServer, b"COMMIT").times(1);
        assert_eq!(verdicts(cut(), &["xxCOMMITyy", "COMMIT"]), [Verdict::CutAfter(2), Verdict::Pass]);
        assert_eq!(verdicts(cut(), &["xxCOM", "MITyy"]), [Verdict::Pass, Verdict::CutAfter(0)]);
        assert_eq!(verdicts(Cut::reply_to(b"COMMIT"), &["C", "O", "MMIT"]), [Verdict::Pass, Verdict::Pass, Verdict::CutAtReply]);
        assert_eq!(verdicts(Cut::before(Direction::ToClient, b"C"), &["C"]), [Verdict::Pass]);
    }

    #[test]
    fn bytes_are_counted_per_connection() {
        assert_eq!(verdicts(Cut::after_bytes(Direction::ToServer, 5), &["abc", "def"]), [Verdict::Pass, Verdict::CutAfter(2)]);
        assert_eq!(verdicts(Cut::after_bytes(Direction::ToServer, 0), &["abc"]), [Verdict::CutAfter(0)]);
    }
}
