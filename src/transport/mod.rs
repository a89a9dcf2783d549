//! HTTP without opinions about OCI.
