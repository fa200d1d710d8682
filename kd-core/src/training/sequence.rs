//! A method made of methods, one after the other.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

use crate::error::{Error, Result};
use crate::training::method::Method;
use crate::training::observer::Observer;
use crate::training::phase::Phase;
use crate::training::run_folder::RunFolder;

/// Methods one after the other: the phases of the first, then those of the second, and so on.
///
/// No method crate depends on another; what is made of several is composed. The phases of a part are called
/// `PART.PHASE`. Each part sees the run folder as if it were alone in it; what a later part is made of, it
/// finds in the results of the earlier ones under their whole names.
///
/// ```no_run
/// # use kd_core::{Error, Method, RunFolder, Sequence, Snapshot};
/// # fn sparsify() -> Box<dyn Method> { unreachable!() }
/// # fn distil(_: kd_core::Tensors) -> Box<dyn Method> { unreachable!() }
/// let sparse = |run: &RunFolder| run.result("sparsify.train", Snapshot::Last);
/// let method = Sequence::new()
///     .then("sparsify", sparsify())
///     .then_made("distil", ["distill"], |run| Ok(distil(sparse(run)?)));
/// # let _ = method;
/// ```
#[derive(Default)]
pub struct Sequence<'a> {
    parts: Vec<Part<'a>>,
}

/// Makes a method of the results of the parts before it.
type Make<'a> = Box<dyn Fn(&RunFolder) -> Result<Box<dyn Method + 'a>> + 'a>;

struct Part<'a> {
    name: String,
    phases: Vec<String>,
    make: Option<Make<'a>>,
    made: OnceLock<Box<dyn Method + 'a>>,
}

impl fmt::Debug for Sequence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.phases()).finish()
    }
}

impl<'a> Sequence<'a> {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// And then `method`, as the part `name`.
    #[must_use]
    pub fn then(mut self, name: impl Into<String>, method: impl Method + 'a) -> Self {
        let phases = method.phases();
        let made = OnceLock::from(Box::new(method) as Box<dyn Method + 'a>);
        let name = name.into();
        self.parts.push(Part {
            name,
            phases,
            make: None,
            made,
        });
        self
    }

    /// And then the method that `make` makes of the results of the parts before it, as the part `name`. Its
    /// phases are stated here, since they are listed before it is made.
    #[must_use]
    pub fn then_made<P: Into<String>>(
        mut self,
        name: impl Into<String>,
        phases: impl IntoIterator<Item = P>,
        make: impl Fn(&RunFolder) -> Result<Box<dyn Method + 'a>> + 'a,
    ) -> Self {
        self.parts.push(Part {
            name: name.into(),
            phases: phases.into_iter().map(Into::into).collect(),
            make: Some(Box::new(make)),
            made: OnceLock::new(),
        });
        self
    }

    /// The part that phase `index` belongs to, its method, and the index of the phase there.
    fn at(&self, index: usize, run: &RunFolder) -> Result<(&Part<'a>, &dyn Method, usize)> {
        let mut inside = index;
        for part in &self.parts {
            if inside < part.phases.len() {
                return Ok((part, part.method(run)?, inside));
            }
            inside -= part.phases.len();
        }
        Err(Error::config(
            "phase",
            format!("must be one of the sequence, got {index}"),
        ))
    }
}

impl Part<'_> {
    fn method(&self, run: &RunFolder) -> Result<&dyn Method> {
        if let Some(made) = self.made.get() {
            return Ok(made.as_ref());
        }
        let make = self.make.as_ref();
        let made = make.ok_or_else(|| Error::config(&self.name, "has no method"))?(run)?;
        let (stated, found) = (&self.phases, made.phases());
        if *stated != found {
            let problem = format!("has phases {found:?}, and {stated:?} were stated");
            return Err(Error::config(&self.name, problem));
        }
        Ok(self.made.get_or_init(|| made).as_ref())
    }
}

impl Method for Sequence<'_> {
    fn phases(&self) -> Vec<String> {
        let names = self.parts.iter().flat_map(|part| {
            let named = part.phases.iter();
            named.map(|phase| format!("{}.{phase}", part.name))
        });
        names.collect()
    }

    fn skips(&self, index: usize, earlier: &RunFolder) -> Result<bool> {
        let (part, method, index) = self.at(index, earlier)?;
        method.skips(index, &earlier.part(&part.name))
    }

    fn make_ready(
        &self,
        index: usize,
        earlier: &RunFolder,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<()> {
        let (part, method, index) = self.at(index, earlier)?;
        method.make_ready(index, &earlier.part(&part.name), observer, stop)
    }

    fn start(&self, index: usize, earlier: &RunFolder) -> Result<Box<dyn Phase + '_>> {
        let (part, method, index) = self.at(index, earlier)?;
        method.start(index, &earlier.part(&part.name))
    }
}
