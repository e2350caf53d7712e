//! What holds whatever the target: identities, invariances, and the mistakes that break them.

mod batches;
mod counts;
mod determinism;
mod graph;
mod half;
mod identity;
mod mistakes;
<<<<<<< HEAD
mod schemes;
=======
mod trust;
>>>>>>> d7165df (Trust in one run: standard errors from the genealogy, tails of weights and of families, a verdict; the genealogy kept on request)
mod verify;
