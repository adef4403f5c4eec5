/* Makes calls of another program hang while the file that HANG_WHILE names exists: those on paths that contain
 * HANG_PATH, name lookups of hosts that contain HANG_HOST, and, with HANG_SYNC, writes that have to become durable.
 * Built and preloaded by tests/all/process/hardening/hangs.rs. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int exists(const char *path) { return syscall(SYS_faccessat, -100, path, 0) == 0; }

static void hang(void) {
    const char *flag = getenv("HANG_WHILE");
    while (flag && exists(flag)) usleep(20000);
}

static void about(const char *path) {
    const char *part = getenv("HANG_PATH");
    if (path && part && strstr(path, part)) hang();
}

#define REAL(name) static __typeof__(name) *real; if (!real) real = dlsym(RTLD_NEXT, #name)

int open64(const char *path, int flags, ...) {
    va_list rest; va_start(rest, flags); int mode = va_arg(rest, int); va_end(rest);
    REAL(open64); about(path); return real(path, flags, mode);
}
int open(const char *path, int flags, ...) {
    va_list rest; va_start(rest, flags); int mode = va_arg(rest, int); va_end(rest);
    REAL(open); about(path); return real(path, flags, mode);
}
int statx(int folder, const char *restrict path, int flags, unsigned mask, struct statx *restrict found) {
    REAL(statx); about(path); return real(folder, path, flags, mask, found);
}
int stat64(const char *restrict path, struct stat64 *restrict found) { REAL(stat64); about(path); return real(path, found); }
int fsync(int file) { REAL(fsync); if (getenv("HANG_SYNC")) hang(); return real(file); }
int fdatasync(int file) { REAL(fdatasync); if (getenv("HANG_SYNC")) hang(); return real(file); }
int getaddrinfo(const char *restrict host, const char *restrict port, const struct addrinfo *restrict hints,
                struct addrinfo **restrict found) {
    REAL(getaddrinfo);
    const char *part = getenv("HANG_HOST");
    if (host && part && strstr(host, part)) hang();
    return real(host, port, hints, found);
}
