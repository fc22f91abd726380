// What Cargo starts in tests with faults: the launcher, or the one that is struck, where there is a fault and Cargo asks its
// first question. Cargo and everybody else sees one path, and nobody a variable. FOLDER is given when it is compiled.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **args) {
    if (strcmp(args[count - 1], "-vV") == 0 && access(FOLDER "/fault", R_OK) == 0) {
        setenv("LD_PRELOAD", FOLDER "/faults.so", 1);
        execv(FOLDER "/struck", args);
    } else {
        execv(FOLDER "/whole/kache-launcher", args);
    }
    return 127;
}
