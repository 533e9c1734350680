//! Typed reads over [`VirtualMemory`]: integers in the dumped machine's byte order, words of its size, strings.
//!
//! It knows how the machine lays out integers and nothing of what they mean.

use std::fmt;
use std::sync::Arc;

use super::{ReadError, VirtualMemory};
use crate::addr::VirtAddr;
use crate::dump::ByteOrder;

/// How the dumped machine lays out integers and pointers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abi {
    /// Its byte order.
    pub order: ByteOrder,
    /// Whether `long` and pointers have 8 bytes (else 4).
    pub is_64bit: bool,
}

impl Abi {
    /// x86_64, aarch64, ppc64le, riscv64: 64-bit, least significant byte first.
    pub const LE64: Abi = Abi {
        order: ByteOrder::Little,
        is_64bit: true,
    };

    /// Bytes of a `long` or pointer.
    pub fn word_size(self) -> u64 {
        if self.is_64bit { 8 } else { 4 }
    }

    /// The unsigned integer that `bytes` (at most 8 count) hold.
    #[inline]
    pub fn uint(self, bytes: &[u8]) -> u64 {
        // Nearly all are of these sizes, and millions are asked for.
        if let Ok(raw) = <[u8; 4]>::try_from(bytes) {
            return u64::from(match self.order {
                ByteOrder::Little => u32::from_le_bytes(raw),
                ByteOrder::Big => u32::from_be_bytes(raw),
            });
        }
        if let Ok(raw) = <[u8; 8]>::try_from(bytes) {
            return match self.order {
                ByteOrder::Little => u64::from_le_bytes(raw),
                ByteOrder::Big => u64::from_be_bytes(raw),
            };
        }
        let take = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        match self.order {
            ByteOrder::Little => bytes.iter().take(8).rev().fold(0, take),
            ByteOrder::Big => bytes.iter().take(8).fold(0, take),
        }
    }
}

/// The dumped kernel's virtual memory together with its [`Abi`]; cheap to clone.
#[derive(Clone)]
pub struct KernelMemory {
    memory: Arc<dyn VirtualMemory>,
    abi: Abi,
}

impl KernelMemory {
    /// Typed access to `memory`.
    pub fn new(memory: Arc<dyn VirtualMemory>, abi: Abi) -> KernelMemory {
        KernelMemory { memory, abi }
    }

    /// How the machine lays out integers.
    pub fn abi(&self) -> Abi {
        self.abi
    }

    /// Fills `buf` from `at` on, or fails as a whole.
    pub fn read(&self, at: VirtAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        self.memory.read(at, buf)
    }

    /// [`KernelMemory::bytes`] that may turn out not to matter: see [`KernelMemory::used`].
    pub fn peek(&self, at: VirtAddr, len: usize) -> Result<Vec<u8>, ReadError> {
        let mut buf = vec![0; len];
        self.memory.peek(at, &mut buf)?;
        Ok(buf)
    }

    /// See [`VirtualMemory::page`].
    pub fn page(&self, at: VirtAddr) -> Option<Arc<[u8]>> {
        self.memory.page(at)
    }

    /// Tells that `len` bytes at `at`, peeked at before, mattered.
    pub fn used(&self, at: VirtAddr, len: u64) {
        self.memory.used(at, len);
    }

    /// Whether anybody keeps a record of what mattered.
    pub fn is_recorded(&self) -> bool {
        self.memory.is_recorded()
    }

    /// Whether the CPU may execute what is mapped at `at`, be it in the dump or not. `None`: nothing tells.
    pub fn executable(&self, at: VirtAddr) -> Option<bool> {
        self.memory.executable(at)
    }

    /// `len` bytes from `at` on. The caller bounds `len`.
    pub fn bytes(&self, at: VirtAddr, len: usize) -> Result<Vec<u8>, ReadError> {
        let mut buf = vec![0; len];
        self.read(at, &mut buf)?;
        Ok(buf)
    }

    /// The byte at `at`.
    pub fn u8(&self, at: VirtAddr) -> Result<u8, ReadError> {
        self.uint::<1>(at).map(|value| value as u8)
    }

    /// The 16-bit integer at `at`.
    pub fn u16(&self, at: VirtAddr) -> Result<u16, ReadError> {
        self.uint::<2>(at).map(|value| value as u16)
    }

    /// The 32-bit integer at `at`.
    pub fn u32(&self, at: VirtAddr) -> Result<u32, ReadError> {
        self.uint::<4>(at).map(|value| value as u32)
    }

    /// The signed 32-bit integer at `at`.
    pub fn i32(&self, at: VirtAddr) -> Result<i32, ReadError> {
        self.u32(at).map(|value| value as i32)
    }

    /// The 64-bit integer at `at`.
    pub fn u64(&self, at: VirtAddr) -> Result<u64, ReadError> {
        self.uint::<8>(at)
    }

    /// The `unsigned long` at `at`.
    pub fn word(&self, at: VirtAddr) -> Result<u64, ReadError> {
        if self.abi.is_64bit {
            self.uint::<8>(at)
        } else {
            self.uint::<4>(at)
        }
    }

    /// The pointer at `at`.
    pub fn pointer(&self, at: VirtAddr) -> Result<VirtAddr, ReadError> {
        self.word(at).map(VirtAddr)
    }

    /// The bytes from `at` up to a NUL, at most `max` of them. It ends early where memory ends, unless that is at once.
    pub fn c_string(&self, at: VirtAddr, max: usize) -> Result<Vec<u8>, ReadError> {
        // Never reads across a boundary of this size behind the NUL: the next page may be absent from the dump.
        const STEP: usize = 64;
        let mut text = Vec::new();
        while text.len() < max {
            let Some(here) = at.checked_add(text.len() as u64) else {
                break;
            };
            let step = STEP - here.0 as usize % STEP;
            let mut buf = [0; STEP];
            let Some(part) = buf.get_mut(..step.min(max - text.len())) else {
                break;
            };
            match self.read(here, part) {
                Ok(()) => {}
                Err(error) if text.is_empty() => return Err(error),
                Err(_) => break,
            }
            match part.iter().position(|byte| *byte == 0) {
                Some(nul) => {
                    text.extend(part.iter().take(nul));
                    break;
                }
                None => text.extend_from_slice(part),
            }
        }
        Ok(text)
    }

    fn uint<const N: usize>(&self, at: VirtAddr) -> Result<u64, ReadError> {
        let mut buf = [0; N];
        self.read(at, &mut buf)?;
        Ok(self.abi.uint(&buf))
    }
}

impl fmt::Debug for KernelMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KernelMemory")
            .field("abi", &self.abi)
            .finish_non_exhaustive()
    }
}

/// A piece of virtual memory made by hand, for the tests of everything that reads one.
#[cfg(test)]
pub(crate) mod test_memory {
    use super::*;

    /// Byte runs at fixed addresses; everything else is not mapped.
    #[derive(Debug, Default)]
    pub(crate) struct TestMemory {
        pub(crate) parts: Vec<(u64, Vec<u8>)>,
    }

    impl TestMemory {
        pub(crate) fn one(at: u64, bytes: Vec<u8>) -> TestMemory {
            TestMemory {
                parts: vec![(at, bytes)],
            }
        }

        pub(crate) fn reader(self) -> KernelMemory {
            KernelMemory::new(Arc::new(self), Abi::LE64)
        }
    }

    impl VirtualMemory for TestMemory {
        fn read(&self, at: VirtAddr, buf: &mut [u8]) -> Result<(), ReadError> {
            for (start, bytes) in &self.parts {
                let Some(skip) = at.0.checked_sub(*start) else { continue };
                let Ok(skip) = usize::try_from(skip) else { continue };
                let Some(end) = skip.checked_add(buf.len()) else {
                    continue;
                };
                if let Some(found) = bytes.get(skip..end) {
                    buf.copy_from_slice(found);
                    return Ok(());
                }
            }
            Err(ReadError::NotMapped(at))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::test_memory::TestMemory;
    use super::*;

    #[test]
    fn integers_follow_the_byte_order() {
        let big = Abi {
            order: ByteOrder::Big,
            is_64bit: false,
        };
        assert_eq!(Abi::LE64.uint(&[1, 2, 3]), 0x03_0201);
        assert_eq!(big.uint(&[1, 2, 3]), 0x01_0203);
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8, 9];
        assert_eq!(
            (Abi::LE64.uint(&bytes[..4]), big.uint(&bytes[..4])),
            (0x0403_0201, 0x0102_0304)
        );
        let long = (0x0807_0605_0403_0201, 0x0102_0304_0506_0708);
        assert_eq!((Abi::LE64.uint(&bytes[..8]), big.uint(&bytes[..8])), long);
        assert_eq!((Abi::LE64.uint(&bytes), big.uint(&bytes)), long);
    }

    #[test]
    fn a_string_ends_at_its_nul_or_where_memory_ends() {
        let mut page = b"swapper/0\0".to_vec();
        page.resize(256, b'x');
        let memory = TestMemory::one(0x1000, page).reader();
        assert_eq!(memory.c_string(VirtAddr(0x1000), 16).unwrap(), b"swapper/0");
        assert_eq!(memory.c_string(VirtAddr(0x1000), 4).unwrap(), b"swap");
        assert_eq!(memory.c_string(VirtAddr(0x10f0), 64).unwrap(), b"x".repeat(16));
        assert!(memory.c_string(VirtAddr(0x2000), 64).is_err());
    }
}
