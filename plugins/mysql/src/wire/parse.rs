//! Fields of a packet, one after the other. Every step checks that there are bytes enough.

use crate::error::Fault;

/// What is left of a packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parse<'a>(pub(crate) &'a [u8]);

const SHORT: Fault = Fault::Protocol("a packet ends too early");

impl<'a> Parse<'a> {
    /// The next `N` bytes.
    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(SHORT)?;
        self.0 = rest;
        Ok(*head)
    }

    /// The next `count` bytes.
    #[inline]
    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(SHORT)?;
        self.0 = rest;
        Ok(head)
    }

    /// One byte.
    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, Fault> {
        let (byte, rest) = self.0.split_first().ok_or(SHORT)?;
        self.0 = rest;
        Ok(*byte)
    }

    /// Text up to a NUL, or to the end.
    pub(crate) fn until_nul(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| *byte == 0);
        let (head, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest.get(1..).unwrap_or_default();
        head
    }

    /// A length-encoded number; `None` is NULL.
    #[inline]
    pub(crate) fn length(&mut self) -> Result<Option<u64>, Fault> {
        Ok(Some(match self.byte()? {
            small @ 0..=0xfa => u64::from(small),
            0xfb => return Ok(None),
            0xfc => u64::from(u16::from_le_bytes(self.array()?)),
            0xfd => {
                let [a, b, c] = self.array()?;
                u64::from(u32::from_le_bytes([a, b, c, 0]))
            }
            0xfe => u64::from_le_bytes(self.array()?),
            0xff => return Err(Fault::Protocol("a length is malformed")),
        }))
    }

    /// Bytes with their length before them; `None` is NULL.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Option<&'a [u8]>, Fault> {
        match self.length()? {
            Some(length) => self.bytes(usize::try_from(length).map_err(|_| SHORT)?).map(Some),
            None => Ok(None),
        }
    }
}
