// What ThreadSanitizer is not to report, whoever runs the program.
//
// LevelDB is Debian's and not instrumented: its readers and its writer agree by atomics that the sanitizer does not
// see, only the bytes that they copy and compare.
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() { return "race:libleveldb.so\n"; }
