//! The plugin keeps the contracts.

use karat_testkit::conformance::lake::LakeUnderTest;

karat_testkit::lake_conformance!(LakeUnderTest {
    plugin: &karat_delta::DELTA,
    log: "_delta_log",
    first_version: "00000000000000000000.json",
    second_version: "00000000000000000001.json"
});
