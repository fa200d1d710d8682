//! Checks of recipes, with findings and sections of the method's own.

use kd_core::Grade;
use kd_recipe::{Machine, Methods};

use crate::twins::{RECIPE, Twins};

#[test]
fn a_method_says_in_a_check_what_it_has_found() {
    let methods = Methods::new().with::<Twins>();
    let mut recipe = methods.read("twins.toml", RECIPE, &[]).unwrap();
    let check = recipe.check(&Machine::default()).unwrap();
    assert_eq!(
        check.title,
        "lenet5-half on fashion-mnist-mini (1x28x28, 10 classes)"
    );
    assert_eq!(
        (check.count(Grade::Warning), check.count(Grade::Error)),
        (1, 0)
    );
    assert_eq!(
        check.sorted_findings().last().unwrap().text,
        "nothing is learnt"
    );
    assert_eq!(check.networks[0].parameters, 15_738);
    assert_eq!(check.sections[0].title(), "twins");
    // It can be run after it.
    assert_eq!(
        recipe.prepare(&Machine::default()).unwrap().title(),
        "lenet5-half"
    );
}
