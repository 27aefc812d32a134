//! The renderings of findings: text for people, JSON for programs.
