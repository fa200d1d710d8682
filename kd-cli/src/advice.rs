//! Advice that names commands and options, put behind the errors and notices of the libraries.

use kd_core::Error;
use kd_recipe::{CampaignError, is_changeable};

use crate::output::quoted_path;

/// What a user of the command can do about an error, to be put behind its text; empty if the text says it
/// already.
pub(crate) fn advice(error: &Error) -> String {
    match error {
        Error::Interrupted { run, .. } => format!("; go on with `kd resume {}`", quoted_path(run)),
        Error::NotEmpty { .. } => {
            "; give another folder with `--out`, or go on with `kd resume`".into()
        }
        Error::NoRun { .. } => {
            "; give the folder that was named with `--out`, or one below `runs`".into()
        }
        Error::Unfinished { path } => {
            format!("; finish it with `kd resume {}`", quoted_path(path))
        }
        Error::Run { problem, .. } if can_be_given(problem) => {
            ", or give the change with `kd resume RUN --set PATH=VALUE`".into()
        }
        Error::DataMissing { .. } => " or with `--data-dir`".into(),
        Error::Config { field, .. } => of_setting(field).into(),
        Error::Input { problem, .. } if problem.ends_with("choose one by its key") => {
            ": `--key`, in a recipe `weights_key`".into()
        }
        Error::Method { source, .. } => source
            .downcast_ref::<CampaignError>()
            .map(of_campaign)
            .unwrap_or_default()
            .into(),
        _ => String::new(),
    }
}

/// Whether a run was refused for settings alone that can be changed under way.
fn can_be_given(problem: &str) -> bool {
    let Some(differences) = problem.strip_prefix("has another `recipe.toml`") else {
        return false;
    };
    let parts: Vec<&str> = differences.split("` was ").collect();
    let before = &parts[..parts.len() - 1];
    let keys = before.iter().filter_map(|part| part.rsplit('`').next());
    !before.is_empty() && !differences.contains(" more; ") && keys.into_iter().all(is_changeable)
}

fn of_setting(field: &str) -> &'static str {
    match field {
        "teacher.weights" => "; `kd import` makes one",
        "teacher.network" | "teachers.network" => ", `kd models` lists the names",
        _ => "",
    }
}

fn of_campaign(error: &CampaignError) -> &'static str {
    match error {
        CampaignError::NotEmpty => "; give another folder with `--out`",
        CampaignError::Stale { .. } => {
            "; add `--rerun` to throw them away and make them again, or give another folder with `--out`"
        }
        CampaignError::NoResult { .. } => "; `results.md` says why, `--rerun` tries them again",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_offered_where_it_can_be_made() {
        let begin = "has another `recipe.toml` than it was begun with: ";
        for (differences, expected) in [
            ("`train.epochs` was 6, is 9; restore it", true),
            (
                "`train.epochs` was 6, is 9, `device` was cpu, is cuda; restore it",
                true,
            ),
            ("`train.lr` was 0.05, is 0.5; restore it", false),
            (
                "`train.epochs` was 6, is 9, `train.lr` was 1, is 2; restore it",
                false,
            ),
            ("`device` was a, is b, and 2 more; restore it", false),
        ] {
            assert_eq!(
                can_be_given(&format!("{begin}{differences}")),
                expected,
                "{differences}"
            );
        }
        assert!(!can_be_given("is in use by another process"));
    }

    fn shown(error: &Error) -> String {
        format!("{error}{}", advice(error))
    }

    #[test]
    fn advice_goes_on_where_the_text_of_an_error_ends() {
        let interrupted = Error::Interrupted {
            run: "my runs/a".into(),
            phase: "distill".into(),
            step: 3,
        };
        let unfinished = Error::Unfinished {
            path: "runs/a".into(),
        };
        let stale = CampaignError::Stale {
            first: "kd, seed 0: `lr` was 1, is 2".into(),
            more: 0,
        };
        for (error, expected) in [
            (
                interrupted,
                "interrupted at step 3 of phase `distill`; go on with `kd resume 'my runs/a'`",
            ),
            (
                unfinished,
                "`runs/a` is a run that is not finished; finish it with `kd resume runs/a`",
            ),
            (
                Error::method("campaign `out`", stale),
                "campaign `out`: holds runs that were made from something else (kd, seed 0: `lr` was 1, is \
                 2); add \
                 `--rerun` to throw them away and make them again, or give another folder with `--out`",
            ),
            (
                Error::config(
                    "teachers.network",
                    "is missing; `weights` do not say which network they are \
                     of",
                ),
                "`teachers.network` is missing; `weights` do not say which network they are of, `kd models` \
                 lists the \
                 names",
            ),
            (
                Error::config("train.lr", "must be above 0"),
                "`train.lr` must be above 0",
            ),
        ] {
            assert_eq!(shown(&error), expected);
        }
    }
}
