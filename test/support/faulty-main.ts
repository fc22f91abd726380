// The entry of the test build: the program as it is, on a C library that fails when it is told to.
import './faulty-libc.ts';
import '../../src/main.ts';
