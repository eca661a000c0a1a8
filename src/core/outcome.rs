//! Responses → what a poll came to.
