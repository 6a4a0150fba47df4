//! Each rule where it fires, and twice as often where it must not.
