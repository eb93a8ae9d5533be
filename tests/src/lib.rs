//! Both real binaries against the real broker and registry.
