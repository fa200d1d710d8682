//! The network contract, and what is done with any network: tensors by name, costs, initial weights,
//! freezing.

pub(crate) mod change;
pub(crate) mod cost;
pub(crate) mod frozen;
pub(crate) mod head;
pub(crate) mod initialise;
pub(crate) mod large_file;
pub(crate) mod normalisation;
pub(crate) mod output;
pub(crate) mod preprocessing;
pub(crate) mod rows;
pub(crate) mod staged;
pub(crate) mod task_network;
pub(crate) mod tensor_files;
pub(crate) mod tensor_order;
pub(crate) mod tensors;
pub(crate) mod tokenizer_file;
