// Faults for a launcher, for tests: preloaded, this puts itself between the launcher and the calls of libc that reach a file
// system. Its language is that of faulty-libc.ts. Both are in FOLDER, which is given when it is compiled:
//
//   FOLDER/fault   `<operation> <n or every> <effect> [<pattern of a path>]`, several separated by `;`
//   FOLDER/trace   gets one line for each changing operation, and one that begins with `!` for each that was struck
//
// Operations: create, write, link, unlink, rename, mkdir, copy, lock change something, and `any` stands for all of them;
// open, read, stat and close do not. Effects: `die`, `die-midway`, `stop` (SIGSTOP before the operation), `short`, `full`, or
// the name of an error.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_FAULTS 8
#define MAX_FILES 1024

struct fault {
    char operation[16], nth[16], effect[16], pattern[256];
    regex_t path;
    int seen;
};

static struct fault faults[MAX_FAULTS];
static int fault_count;
static int is_full;
static int trace_to = -1;
/// Of the descriptors that were opened here: pipes and sockets are not a file system's.
static char *paths[MAX_FILES];

static const struct {
    const char *name;
    int number;
} errors[] = {
    {"EACCES", EACCES}, {"EDQUOT", EDQUOT}, {"EIO", EIO},       {"EMFILE", EMFILE}, {"EMLINK", EMLINK},
    {"ENOLCK", ENOLCK}, {"ENOSPC", ENOSPC}, {"EPERM", EPERM},   {"EROFS", EROFS},   {"EXDEV", EXDEV},
};

/// The call as libc has it.
#define REAL(name, ...) ((__typeof__(&name))original(#name))(__VA_ARGS__)

static void *original(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL) abort();
    return found;
}

/// Whom the launcher starts is not struck, and nobody hears of this.
__attribute__((constructor)) static void begin(void) {
    unsetenv("LD_PRELOAD");
    trace_to = REAL(open64, FOLDER "/trace", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    static char text[4096];
    int fd = REAL(open64, FOLDER "/fault", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || REAL(read, fd, text, sizeof text - 1) < 0) abort();
    REAL(close, fd);
    for (char *rest = text, *one; (one = strsep(&rest, ";")) != NULL && fault_count < MAX_FAULTS;) {
        struct fault *fault = &faults[fault_count];
        if (sscanf(one, "%15s %15s %15s %255s", fault->operation, fault->nth, fault->effect, fault->pattern) < 3) continue;
        if (regcomp(&fault->path, fault->pattern, REG_EXTENDED | REG_NOSUB) != 0) abort();
        fault_count++;
    }
}

static int is_one_of(const char *operation, const char *const *list) {
    for (; *list != NULL; list++)
        if (strcmp(operation, *list) == 0) return 1;
    return 0;
}

static int is_harmless(const char *operation) {
    return is_one_of(operation, (const char *const[]){"open", "read", "stat", "close", NULL});
}

static int takes_room(const char *operation) {
    return is_one_of(operation, (const char *const[]){"create", "write", "mkdir", "copy", "link", NULL});
}

static void trace(const char *effect, const char *operation, const char *path) {
    char line[8192];
    const char *mark = effect == NULL ? "" : "! ", *space = effect == NULL ? "" : " ";
    int length = snprintf(line, sizeof line, "%s%s%s%s %s\n", mark, effect == NULL ? "" : effect, space, operation, path);
    if (REAL(write, trace_to, line, length) != length) abort();
}

/// The effect that strikes now.
static const char *strike(const char *operation, const char *path) {
    const char *effect = NULL;
    if (!is_harmless(operation)) trace(NULL, operation, path);
    for (struct fault *fault = faults; fault < faults + fault_count; fault++) {
        int is_any = strcmp(fault->operation, "any") == 0 && !is_harmless(operation);
        if (!is_any && strcmp(fault->operation, operation) != 0) continue;
        if (regexec(&fault->path, path, 0, NULL, 0) != 0) continue;
        fault->seen++;
        int is_due = strcmp(fault->nth, "every") == 0 || fault->seen == atoi(fault->nth);
        if (is_due && effect == NULL) effect = fault->effect;
    }
    if (is_full && effect == NULL && takes_room(operation)) effect = "ENOSPC";
    if (effect != NULL) trace(effect, operation, path);
    return effect;
}

static int fail(const char *name) {
    for (size_t at = 0; at < sizeof errors / sizeof *errors; at++) {
        if (strcmp(errors[at].name, name) == 0) {
            errno = errors[at].number;
            return -1;
        }
    }
    abort();
}

/// What an operation comes to that moves no bytes: 0 when it is to be done.
static int struck(const char *operation, const char *path) {
    const char *effect = path == NULL ? NULL : strike(operation, path);
    if (effect == NULL || strcmp(effect, "short") == 0) return 0;
    if (strncmp(effect, "die", 3) == 0) raise(SIGKILL);
    if (strcmp(effect, "stop") == 0) return raise(SIGSTOP);
    if (strcmp(effect, "full") == 0) {
        is_full = 1;
        return fail("ENOSPC");
    }
    return fail(effect);
}

/// How many of so many bytes are to be moved; negative: it fails. `*dies` when the process is to die behind them.
static ssize_t share(const char *operation, const char *path, size_t whole, size_t size, int *dies) {
    const char *effect = path == NULL ? NULL : strike(operation, path);
    size_t half = size / 2 > 0 ? size / 2 : 1;
    if (effect == NULL) return whole;
    if (strcmp(effect, "die") == 0) raise(SIGKILL);
    if (strcmp(effect, "stop") == 0) {
        raise(SIGSTOP);
        return whole;
    }
    *dies = strcmp(effect, "die-midway") == 0;
    if (strcmp(effect, "full") == 0) is_full = 1;
    else if (!*dies && strcmp(effect, "short") != 0) return fail(effect);
    return half;
}

static const char *path_of(int fd) { return fd >= 0 && fd < MAX_FILES ? paths[fd] : NULL; }

static void name_file(int fd, const char *path) {
    if (fd < 0 || fd >= MAX_FILES) return;
    free(paths[fd]);
    paths[fd] = path == NULL ? NULL : strdup(path);
}

/// A name in a folder that is open.
static const char *path_at(int folder, const char *name) {
    static char path[8192];
    const char *above = path_of(folder);
    if (above == NULL || name[0] == '/') return name;
    snprintf(path, sizeof path, "%s/%s", above, name);
    return path;
}

static int opened(int folder, const char *name, int flags, mode_t mode) {
    const char *path = path_at(folder, name);
    if (struck(flags & (O_CREAT | O_WRONLY | O_RDWR) ? "create" : "open", path) != 0) return -1;
    int fd = REAL(openat64, folder, name, flags, mode);
    name_file(fd, path);
    return fd;
}

static mode_t mode_in(int flags, va_list rest) { return flags & O_CREAT ? va_arg(rest, mode_t) : 0; }

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = mode_in(flags, rest);
    va_end(rest);
    return opened(AT_FDCWD, path, flags, mode);
}

int openat64(int folder, const char *name, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = mode_in(flags, rest);
    va_end(rest);
    return opened(folder, name, flags, mode);
}

/// A close that fails has closed all the same.
int close(int fd) {
    const char *path = path_of(fd);
    int failed = struck("close", path), why = errno;
    name_file(fd, NULL);
    int closed = REAL(close, fd);
    if (failed == 0) return closed;
    errno = why;
    return failed;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    int dies = 0;
    ssize_t part = share("write", path_of(fd), count, count, &dies);
    ssize_t written = part < 0 ? part : REAL(write, fd, bytes, part);
    if (dies) raise(SIGKILL);
    return written;
}

static size_t size_of(int fd) {
    struct stat64 info;
    return REAL(fstat64, fd, &info) == 0 ? info.st_size : 0;
}

ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t count, unsigned flags) {
    int dies = 0;
    ssize_t part = share("copy", path_of(to), count, size_of(from), &dies);
    ssize_t copied = part < 0 ? part : REAL(copy_file_range, from, from_at, to, to_at, part, flags);
    if (dies) raise(SIGKILL);
    return copied;
}

ssize_t sendfile64(int to, int from, off64_t *from_at, size_t count) {
    int dies = 0;
    ssize_t part = share("copy", path_of(to), count, size_of(from), &dies);
    ssize_t copied = part < 0 ? part : REAL(sendfile64, to, from, from_at, part);
    if (dies) raise(SIGKILL);
    return copied;
}

ssize_t read(int fd, void *bytes, size_t count) {
    return struck("read", path_of(fd)) != 0 ? -1 : REAL(read, fd, bytes, count);
}

int mkdir(const char *path, mode_t mode) { return struck("mkdir", path) != 0 ? -1 : REAL(mkdir, path, mode); }

int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
    return struck("link", path_at(to_at, to)) != 0 ? -1 : REAL(linkat, from_at, from, to_at, to, flags);
}

int rename(const char *from, const char *to) { return struck("rename", to) != 0 ? -1 : REAL(rename, from, to); }

int unlink(const char *path) { return struck("unlink", path) != 0 ? -1 : REAL(unlink, path); }

int unlinkat(int folder, const char *name, int flags) {
    return struck("unlink", path_at(folder, name)) != 0 ? -1 : REAL(unlinkat, folder, name, flags);
}

int flock(int fd, int operation) { return struck("lock", path_of(fd)) != 0 ? -1 : REAL(flock, fd, operation); }

int stat64(const char *path, struct stat64 *info) { return struck("stat", path) != 0 ? -1 : REAL(stat64, path, info); }

int lstat64(const char *path, struct stat64 *info) { return struck("stat", path) != 0 ? -1 : REAL(lstat64, path, info); }

int fstat64(int fd, struct stat64 *info) { return struck("stat", path_of(fd)) != 0 ? -1 : REAL(fstat64, fd, info); }

int statx(int folder, const char *name, int flags, unsigned mask, struct statx *info) {
    const char *path = name == NULL || name[0] == 0 ? path_of(folder) : path_at(folder, name);
    return struck("stat", path) != 0 ? -1 : REAL(statx, folder, name, flags, mask, info);
}
