//! Contrastive losses.

mod crd; // contrastive representation distillation
mod crd_memory; // the rows that it remembers of every sample
mod info_nce; // the bound on mutual information
