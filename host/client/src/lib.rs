//! Writes to a dseq network and reads from it, over HTTP.
