//! C structures as bytes: word size, alignment and byte order of the dumped machine.

/// Byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Little,
    Big,
}

/// How a machine's compiler lays out a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abi {
    pub order: Order,
    /// Size and alignment of `unsigned long`: 4 or 8.
    pub word: usize,
    /// Alignment of a 64-bit integer: 4 on i386, else 8.
    pub align_of_u64: usize,
}

impl Abi {
    pub const X86_64: Abi = Abi {
        order: Order::Little,
        word: 8,
        align_of_u64: 8,
    };
    pub const S390X: Abi = Abi {
        order: Order::Big,
        word: 8,
        align_of_u64: 8,
    };
    pub const I386: Abi = Abi {
        order: Order::Little,
        word: 4,
        align_of_u64: 4,
    };
    pub const ARM: Abi = Abi {
        order: Order::Little,
        word: 4,
        align_of_u64: 8,
    };
    pub const PPC: Abi = Abi {
        order: Order::Big,
        word: 4,
        align_of_u64: 8,
    };
    /// One of each kind.
    pub const ALL: [Abi; 5] = [Abi::X86_64, Abi::S390X, Abi::I386, Abi::ARM, Abi::PPC];

    /// `uname -m` of a machine with this ABI.
    pub fn machine(self) -> &'static str {
        match (self.word, self.order, self.align_of_u64) {
            (8, Order::Little, _) => "x86_64",
            (8, Order::Big, _) => "s390x",
            (_, Order::Little, 4) => "i686",
            (_, Order::Little, _) => "armv7l",
            (_, Order::Big, _) => "ppc",
        }
    }

    pub fn is_64bit(self) -> bool {
        self.word == 8
    }
}

/// A structure under construction. Every integer is aligned as C would align it, counted from `start`.
#[derive(Clone, Debug)]
pub struct Encoder {
    abi: Abi,
    bytes: Vec<u8>,
}

impl Encoder {
    pub fn new(abi: Abi) -> Self {
        Self { abi, bytes: Vec::new() }
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Zero bytes up to a multiple of `size`.
    pub fn align(&mut self, size: usize) -> &mut Self {
        self.pad_to(self.bytes.len().next_multiple_of(size))
    }

    /// Zero bytes up to offset `end`.
    pub fn pad_to(&mut self, end: usize) -> &mut Self {
        assert!(
            end >= self.bytes.len(),
            "{end} lies behind what is written ({})",
            self.bytes.len()
        );
        self.bytes.resize(end, 0);
        self
    }

    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend(bytes);
        self
    }

    /// A text of at most `size` - 1 bytes, filled up with zeros.
    pub fn text(&mut self, text: &str, size: usize) -> &mut Self {
        assert!(text.len() < size, "{text:?} does not fit into {size} bytes");
        let end = self.bytes.len() + size;
        self.raw(text.as_bytes()).pad_to(end)
    }

    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.align(2).ordered(value.to_le_bytes())
    }

    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.align(4).ordered(value.to_le_bytes())
    }

    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.align(self.abi.align_of_u64).ordered(value.to_le_bytes())
    }

    /// An `unsigned long`.
    pub fn word(&mut self, value: u64) -> &mut Self {
        if self.abi.word == 8 {
            self.u64(value)
        } else {
            self.u32(value as u32)
        }
    }

    fn ordered<const N: usize>(&mut self, mut little: [u8; N]) -> &mut Self {
        if self.abi.order == Order::Big {
            little.reverse();
        }
        self.raw(&little)
    }
}
