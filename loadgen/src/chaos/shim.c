/* Stands between the server and libc (LD_PRELOAD), for `loadgen chaos`. It
 *   - keeps a shadow of the data directory that receives only what was synced: what a power loss would leave;
 *   - makes syncs slow, fail, or be the moment of a SIGKILL;
 *   - shifts the wall clock.
 * What it shall do stands in a small file that both sides map (struct control; shim.rs writes it).
 *
 * A sync that fails loses what it should have written for good, as Linux does it: the pages count as clean afterwards.
 * New names, renames and removals count as durable at once, and a file's shadow appears with its first sync. Files
 * whose name ends with "-shm" are left out: they are mapped, not written, and made anew at every start. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct control {
    _Atomic int64_t wall_offset_ns;
    _Atomic uint64_t sync_delay_ms;
    _Atomic uint64_t syncs_fail; /* so many of the next ones */
    _Atomic uint64_t kill_before_sync; /* the n-th from now; 0: none */
    _Atomic uint64_t syncs; /* seen */
    _Atomic uint64_t syncs_failed;
};

#define FILES_MAX 256
#define RANGES_MAX 1024
#define FDS_MAX 65536
#define UNKNOWN 0
#define FOREIGN 1
#define FIRST 2 /* fds[fd] - FIRST is an index of files */

struct range { off_t from, to; };
struct file {
    char path[PATH_MAX];
    struct range dirty[RANGES_MAX];
    int ranges;
};

static struct control nothing, *control = &nothing;
static char data[PATH_MAX], shadow[PATH_MAX];
static size_t data_length;
static struct file *files;
static int files_used;
static uint16_t fds[FDS_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(result, name, ...) \
    static result (*real_##name)(__VA_ARGS__); \
    if (!real_##name) real_##name = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULT_SHIM"), *of = getenv("FAULT_DATA"), *to = getenv("FAULT_SHADOW");
    if (path) {
        int fd = open(path, O_RDWR | O_CLOEXEC);
        void *map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof nothing, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED) {
            static const char text[] = "the shim cannot map FAULT_SHIM\n";
            (void)!write(2, text, sizeof text - 1);
            _exit(1);
        }
        control = map;
        close(fd);
    }
    if (of && to && strlen(of) < PATH_MAX / 2 && strlen(to) < PATH_MAX / 2) {
        strcpy(shadow, to);
        strcpy(data, of);
        data_length = strlen(data);
        files = calloc(FILES_MAX, sizeof *files);
    }
}

static int is_ours(const char *path) {
    size_t length = strlen(path);
    return data_length && !strncmp(path, data, data_length) && path[data_length] == '/' &&
           !(length > 4 && !strcmp(path + length - 4, "-shm"));
}

static struct file *named(const char *path) {
    for (int i = 0; i < files_used; i++)
        if (!strcmp(files[i].path, path)) return &files[i];
    return NULL;
}

/* The file behind a descriptor; NULL when it is none of ours. */
static struct file *behind(int fd) {
    if (!files || fd < 0 || fd >= FDS_MAX || fds[fd] == FOREIGN) return NULL;
    if (fds[fd] >= FIRST) return &files[fds[fd] - FIRST];
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    struct stat is;
    if (!is_ours(path) || fstat(fd, &is) || !S_ISREG(is.st_mode)) {
        fds[fd] = FOREIGN;
        return NULL;
    }
    struct file *file = named(path);
    if (!file && files_used < FILES_MAX) {
        file = &files[files_used++];
        strcpy(file->path, path);
        file->ranges = 0;
    }
    if (file) fds[fd] = (uint16_t)(file - files) + FIRST;
    return file;
}

static void dirty(int fd, off_t from, off_t length) {
    if (length <= 0) return;
    pthread_mutex_lock(&lock);
    struct file *file = behind(fd);
    if (file) {
        off_t to = from + length;
        struct range *last = file->ranges ? &file->dirty[file->ranges - 1] : NULL;
        if (last && from <= last->to && to >= last->from) {
            if (from < last->from) last->from = from;
            if (to > last->to) last->to = to;
        } else if (file->ranges < RANGES_MAX) {
            file->dirty[file->ranges++] = (struct range){from, to};
        } else {
            /* Too many to remember one by one: everything between counts as written. */
            for (int i = 0; i < file->ranges; i++) {
                if (file->dirty[i].from < from) from = file->dirty[i].from;
                if (file->dirty[i].to > to) to = file->dirty[i].to;
            }
            file->dirty[0] = (struct range){from, to};
            file->ranges = 1;
        }
    }
    pthread_mutex_unlock(&lock);
}

static void shadow_of(const char *path, char *out) {
    snprintf(out, PATH_MAX, "%s%s", shadow, path + data_length);
}

static void make_folders(char *path) {
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0777);
        *slash = '/';
    }
}

/* What was written since the last sync goes into the shadow. */
static void keep(int fd, struct file *file) {
    char to[PATH_MAX], buffer[65536];
    struct stat is;
    shadow_of(file->path, to);
    int out = open(to, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (out < 0) {
        make_folders(to);
        out = open(to, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    }
    if (out < 0 || fstat(fd, &is)) return;
    REAL(int, ftruncate64, int, off_t);
    REAL(ssize_t, pwrite64, int, const void *, size_t, off_t);
    /* It may be open for writing only. */
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int in = open(link, O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < file->ranges; i++) {
        off_t at = file->dirty[i].from, end = file->dirty[i].to < is.st_size ? file->dirty[i].to : is.st_size;
        while (at < end) {
            size_t want = end - at < (off_t)sizeof buffer ? (size_t)(end - at) : sizeof buffer;
            ssize_t got = pread(in, buffer, want, at);
            if (got <= 0) break;
            real_pwrite64(out, buffer, (size_t)got, at);
            at += got;
        }
    }
    real_ftruncate64(out, is.st_size);
    file->ranges = 0;
    if (in >= 0) {
        fds[in < FDS_MAX ? in : 0] = UNKNOWN;
        close(in);
    }
    close(out);
}

static int synced(int fd, int (*real)(int)) {
    pthread_mutex_lock(&lock);
    struct file *file = behind(fd);
    pthread_mutex_unlock(&lock);
    if (!file) return real(fd);
    control->syncs++;
    uint64_t n = control->kill_before_sync;
    if (n && --control->kill_before_sync == 0) kill(getpid(), SIGKILL);
    if (control->sync_delay_ms) {
        struct timespec pause = {control->sync_delay_ms / 1000, (long)(control->sync_delay_ms % 1000) * 1000000};
        nanosleep(&pause, NULL);
    }
    if (control->syncs_fail) {
        control->syncs_fail--;
        control->syncs_failed++;
        pthread_mutex_lock(&lock);
        file->ranges = 0;
        pthread_mutex_unlock(&lock);
        errno = EIO;
        return -1;
    }
    /* The real one makes the timing real; the shadow first, so that no acknowledgement is ahead of it. */
    pthread_mutex_lock(&lock);
    keep(fd, file);
    pthread_mutex_unlock(&lock);
    return real(fd);
}

int fsync(int fd) {
    REAL(int, fsync, int);
    return synced(fd, real_fsync);
}

int fdatasync(int fd) {
    REAL(int, fdatasync, int);
    return synced(fd, real_fdatasync);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    REAL(ssize_t, write, int, const void *, size_t);
    ssize_t done = real_write(fd, bytes, count);
    int error = errno;
    if (done > 0 && files && fd > 2 && (fd >= FDS_MAX || fds[fd] != FOREIGN)) {
        off_t end = lseek(fd, 0, SEEK_CUR);
        if (end >= done) dirty(fd, end - done, done);
        else if (fd < FDS_MAX) fds[fd] = FOREIGN; /* A pipe or a socket. */
    }
    errno = error;
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    ssize_t done = real_writev(fd, parts, count);
    int error = errno;
    if (done > 0 && files && fd > 2 && (fd >= FDS_MAX || fds[fd] != FOREIGN)) {
        off_t end = lseek(fd, 0, SEEK_CUR);
        if (end >= done) dirty(fd, end - done, done);
        else if (fd < FDS_MAX) fds[fd] = FOREIGN;
    }
    errno = error;
    return done;
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t at) {
    REAL(ssize_t, pwrite64, int, const void *, size_t, off_t);
    ssize_t done = real_pwrite64(fd, bytes, count, at);
    int error = errno;
    dirty(fd, at, done);
    errno = error;
    return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    return pwrite64(fd, bytes, count, at);
}

int ftruncate64(int fd, off_t length) {
    REAL(int, ftruncate64, int, off_t);
    struct stat was;
    int known = !fstat(fd, &was);
    int done = real_ftruncate64(fd, length);
    int error = errno;
    if (!done && known && was.st_size > length) dirty(fd, length, was.st_size - length);
    errno = error;
    return done;
}

int ftruncate(int fd, off_t length) {
    return ftruncate64(fd, length);
}

int close(int fd) {
    REAL(int, close, int);
    if (fd >= 0 && fd < FDS_MAX) fds[fd] = UNKNOWN;
    return real_close(fd);
}

int unlink(const char *path) {
    REAL(int, unlink, const char *);
    int done = real_unlink(path);
    int error = errno;
    if (!done && is_ours(path)) {
        char to[PATH_MAX];
        shadow_of(path, to);
        real_unlink(to);
        pthread_mutex_lock(&lock);
        struct file *file = named(path);
        if (file) file->ranges = 0;
        pthread_mutex_unlock(&lock);
    }
    errno = error;
    return done;
}

int rename(const char *from, const char *to) {
    REAL(int, rename, const char *, const char *);
    int done = real_rename(from, to);
    int error = errno;
    if (!done && is_ours(from) && is_ours(to)) {
        char old[PATH_MAX], new[PATH_MAX];
        shadow_of(from, old);
        shadow_of(to, new);
        real_rename(old, new);
        pthread_mutex_lock(&lock);
        struct file *file = named(to);
        if (file) file->path[0] = 0; /* It has no name any more. */
        file = named(from);
        if (file) strcpy(file->path, to);
        pthread_mutex_unlock(&lock);
    }
    errno = error;
    return done;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(int, clock_gettime, clockid_t, struct timespec *);
    int done = real_clock_gettime(clock, now);
    int64_t offset = control->wall_offset_ns;
    if (!done && offset && clock == CLOCK_REALTIME) {
        int64_t ns = (int64_t)now->tv_sec * 1000000000 + now->tv_nsec + offset;
        now->tv_sec = ns / 1000000000;
        now->tv_nsec = ns % 1000000000;
    }
    return done;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec exact;
    int done = clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return done;
}
