//! Public types that hold no device can go to other threads.

use kd_online::{
    BranchCosts, CombinerSizes, Diversification, Objective, OnlineConfig, OnlineData, OnlineLoss,
    PredictionPenalty, TeacherTerm,
};

fn threads<T: Send + Sync + Unpin + 'static>() {}

#[test]
fn settings_go_to_other_threads() {
    threads::<OnlineConfig>();
    threads::<Objective>();
    threads::<Diversification>();
    threads::<PredictionPenalty>();
    threads::<TeacherTerm>();
    threads::<OnlineData>();
    threads::<OnlineLoss>();
    threads::<BranchCosts>();
    threads::<CombinerSizes>();
}
