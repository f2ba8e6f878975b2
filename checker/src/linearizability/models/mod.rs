//! Models of the objects that histories are about.

mod appends;
mod kv;
mod multi_register;
mod mutex;
mod register;
mod set;

pub use self::{
    kv::{Condition, Held, Kv, KvAction, KvOp, Versions},
    multi_register::{MultiRegister, MultiRegisterAccess, MultiRegisterOp},
    mutex::{Mutex, MutexOp},
    register::{RegisterAction, RegisterOp, Registers},
    set::{Set, SetOp},
};
