//! Reading refs, deciding about them, and changing them.
