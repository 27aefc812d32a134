//! Every judgement that needs neither I/O nor SQL analysis.
