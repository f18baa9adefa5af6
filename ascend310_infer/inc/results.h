// Where the results go: standard output, which is theirs alone.
#ifndef DELF_ASCEND310_INFER_RESULTS_H_
#define DELF_ASCEND310_INFER_RESULTS_H_

#include <cstdio>

namespace delf {

// Opens what was standard output when the program was started. From before the first line of any
// library on, whatever else is printed there goes to standard error: the runtime's own lines would
// stand in the middle of the stream. Throws Error(kOutput) when there was none.
std::FILE *OpenResults();

// For a program that starts another one: gives the next program what was standard output; and lets
// go of it in this one.
void ReturnStandardOutput();
void ForgetStandardOutput();

}  // namespace delf

#endif  // DELF_ASCEND310_INFER_RESULTS_H_
