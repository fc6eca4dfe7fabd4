//! A stream of bytes that both ends can compute, so that the sink can check what arrives.

use super::LabError;

/// Generates the stream in order (xorshift64*, little-endian words).
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    state: u64,
    word: [u8; 8],
    used: usize,
    offset: u64,
}

impl Pattern {
    /// The stream of `seed`.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            state: seed | 1,
            word: [0; 8],
            used: 8,
            offset: 0,
        }
    }

    /// Writes the next bytes of the stream.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) {
        for byte in buffer {
            *byte = self.next();
        }
    }

    /// Checks that `received` are the next bytes of the stream.
    ///
    /// # Errors
    /// [`LabError::Corrupted`] with the offset of the first that is not.
    pub(super) fn check(&mut self, received: &[u8]) -> Result<(), LabError> {
        for byte in received {
            let offset = self.offset;
            if *byte != self.next() {
                return Err(LabError::Corrupted { offset });
            }
        }
        Ok(())
    }

    fn next(&mut self) -> u8 {
        if self.used == 8 {
            self.state ^= self.state >> 12;
            self.state ^= self.state << 25;
            self.state ^= self.state >> 27;
            self.word = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes();
            self.used = 0;
        }
        let byte = self.word[self.used];
        self.used += 1;
        self.offset += 1;
        byte
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_agree_however_the_stream_is_cut() {
        let mut sent = vec![0; 1000];
        Pattern::new(3).fill(&mut sent);
        let mut sink = Pattern::new(3);
        for part in sent.chunks(7) {
            sink.check(part).unwrap();
        }
    }

    #[test]
    fn a_flipped_bit_is_found_where_it_is() {
        let mut sent = vec![0; 1000];
        Pattern::new(3).fill(&mut sent);
        sent[777] ^= 0x10;
        let error = Pattern::new(3).check(&sent).unwrap_err();
        assert!(matches!(error, LabError::Corrupted { offset: 777 }));
    }
}
