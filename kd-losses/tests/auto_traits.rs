//! Losses and modules can be sent to and shared between threads.

use kd_losses::{
    AttentionDistance, AttentionTransferLoss, AttentionTransferLossConfig, Axis, CrossEntropyLoss,
    CrossEntropyLossConfig, Error, MapSizes, Projection, Regressor, RegressorConfig,
    SoftTargetLoss, SoftTargetLossConfig,
};

fn send_and_sync<T: Send + Sync + Unpin + 'static>() {}

#[test]
fn public_types_are_send_and_sync() {
    send_and_sync::<AttentionDistance>();
    send_and_sync::<AttentionTransferLoss>();
    send_and_sync::<AttentionTransferLossConfig>();
    send_and_sync::<Axis>();
    send_and_sync::<CrossEntropyLoss>();
    send_and_sync::<CrossEntropyLossConfig>();
    send_and_sync::<Error>();
    send_and_sync::<MapSizes>();
    send_and_sync::<Projection>();
    send_and_sync::<RegressorConfig>();
    send_and_sync::<SoftTargetLoss>();
    send_and_sync::<SoftTargetLossConfig>();
    send_and_sync::<Regressor>();
}
