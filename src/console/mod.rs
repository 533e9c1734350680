//! Kernel text of any age and source → facts: dmesg, serial console, journal, a pasted `crash` session.
//!
//! It must not know of dumps: a dump's log reaches it as text like any other.
