/* For a library that includes it and, without its trace, uses nothing of it. */
