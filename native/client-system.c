// The part of a C library that client.c uses, straight on the kernel's system calls.
//
// A static program of glibc spends 0.5 ms before main() (probing the processor, relocating itself, 28 page faults), which is
// more than the client's own work. Built with -nostdlib on the processors below; elsewhere the build links the C library.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n mov %rsp, %rdi\n and $-16, %rsp\n call start\n");
static long call(long n, long a, long b, long c, long d, long e, long f) {
  long result;
  register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
  __asm__ volatile("syscall" : "=a"(result) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\n mov x0, sp\n bl start\n");
static long call(long n, long a, long b, long c, long d, long e, long f) {
  register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
}
#else
#error "this processor's system calls are not known here" // scripts/build.mjs then links the C library
#endif

char **environ;
static int error;
int *__errno_location(void) { return &error; }

static long result(long r) {
  if (r >= 0 || r < -4095) return r;
  error = (int)-r;
  return -1;
}
#define CALL(n, a, b, c, d) result(call(SYS_##n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0))

void _exit(int code) { for (;;) CALL(exit_group, code, 0, 0, 0); }
ssize_t read(int fd, void *data, size_t length) { return CALL(read, fd, data, length, 0); }
ssize_t write(int fd, const void *data, size_t length) { return CALL(write, fd, data, length, 0); }
ssize_t writev(int fd, const struct iovec *parts, int count) { return CALL(writev, fd, parts, count, 0); }
int close(int fd) { return (int)CALL(close, fd, 0, 0, 0); }
int fsync(int fd) { return (int)CALL(fsync, fd, 0, 0, 0); }
int socket(int domain, int type, int protocol) { return (int)CALL(socket, domain, type, protocol, 0); }
int connect(int fd, const struct sockaddr *address, socklen_t length) { return (int)CALL(connect, fd, address, length, 0); }
int setsockopt(int fd, int level, int option, const void *value, socklen_t length) {
  return (int)result(call(SYS_setsockopt, fd, level, option, (long)value, length, 0));
}
int mkdir(const char *path, mode_t mode) { return (int)CALL(mkdirat, AT_FDCWD, path, mode, 0); }
int unlink(const char *path) { return (int)CALL(unlinkat, AT_FDCWD, path, 0, 0); }
// struct stat is the kernel's own on these processors.
int fstat(int fd, struct stat *status) { return (int)CALL(fstat, fd, status, 0, 0); }
uid_t geteuid(void) { return (uid_t)call(SYS_geteuid, 0, 0, 0, 0, 0, 0); }
int rename(const char *from, const char *to) { return (int)result(call(SYS_renameat2, AT_FDCWD, (long)from, AT_FDCWD, (long)to, 0, 0)); }
pid_t getpid(void) { return (pid_t)CALL(getpid, 0, 0, 0, 0); }
int clock_gettime(clockid_t clock, struct timespec *time) { return (int)CALL(clock_gettime, clock, time, 0, 0); }

int open(const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  int mode = flags & O_CREAT ? va_arg(arguments, int) : 0;
  va_end(arguments);
  return (int)CALL(openat, AT_FDCWD, path, flags, mode);
}

int poll(struct pollfd *fds, nfds_t count, int milliseconds) {
  struct timespec timeout = { milliseconds / 1000, milliseconds % 1000 * 1000000L };
  return (int)result(call(SYS_ppoll, (long)fds, (long)count, milliseconds < 0 ? 0 : (long)&timeout, 0, 0, 0));
}

__sighandler_t signal(int number, __sighandler_t handler) { // SIG_IGN and SIG_DFL: a handler would need a way back
  struct { __sighandler_t handler; unsigned long flags; void *restorer; unsigned long mask; } action = { handler, 0, 0, 0 };
  return CALL(rt_sigaction, number, &action, 0, sizeof action.mask) ? SIG_ERR : SIG_DFL;
}

// Blocks are pages of their own, whose first bytes hold the size; what is not needed any more goes with the process.
enum { HEAD = 16, PAGE = 4096 };
void *realloc(void *old, size_t size) {
  size_t wanted = (size + HEAD + PAGE - 1) / PAGE * PAGE;
  char *block = old ? (char *)old - HEAD : NULL;
  long r = block ? call(SYS_mremap, (long)block, (long)*(size_t *)block, (long)wanted, MREMAP_MAYMOVE, 0, 0)
                 : call(SYS_mmap, 0, (long)wanted, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (r < 0 && r >= -4095) return NULL;
  *(size_t *)r = wanted;
  return (char *)r + HEAD;
}

// The compiler calls these by itself, too.
void *memcpy(void *restrict to, const void *restrict from, size_t length) {
  char *out = to;
  for (const char *in = from; length--;) *out++ = *in++;
  return to;
}
void *memset(void *to, int value, size_t length) {
  for (char *out = to; length--;) *out++ = (char)value;
  return to;
}
int memcmp(const void *one, const void *other, size_t length) {
  for (const unsigned char *a = one, *b = other; length--; a++, b++) if (*a != *b) return *a - *b;
  return 0;
}
size_t strlen(const char *text) {
  size_t length = 0;
  while (text[length]) length++;
  return length;
}
int strncmp(const char *one, const char *other, size_t length) {
  for (; length--; one++, other++) if (*one != *other || !*one) return (unsigned char)*one - (unsigned char)*other;
  return 0;
}
int strcmp(const char *one, const char *other) { return strncmp(one, other, SIZE_MAX); }
char *strcpy(char *restrict to, const char *restrict from) { return memcpy(to, from, strlen(from) + 1); }
char *strchr(const char *text, int character) { // as in C, the closing zero is part of the text
  for (;; text++) {
    if (*text == (char)character) return (char *)text;
    if (!*text) return NULL;
  }
}
char *strrchr(const char *text, int character) {
  char *last = NULL;
  while ((text = strchr(text, character))) {
    last = (char *)text;
    if (!*text++) break;
  }
  return last;
}
char *strstr(const char *text, const char *wanted) {
  for (size_t length = strlen(wanted); *text; text++) if (!strncmp(text, wanted, length)) return (char *)text;
  return NULL;
}
static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c; }
int strncasecmp(const char *one, const char *other, size_t length) {
  for (; length--; one++, other++) if (lower(*one) != lower(*other) || !*one) return (unsigned char)lower(*one) - (unsigned char)lower(*other);
  return 0;
}
char *strcasestr(const char *text, const char *wanted) {
  for (; *text; text++) {
    size_t i = 0;
    while (wanted[i] && lower(text[i]) == lower(wanted[i])) i++;
    if (!wanted[i]) return (char *)text;
  }
  return NULL;
}
unsigned long strtoul(const char *restrict text, char **restrict end, int base) { // what a header field needs
  unsigned long value = 0;
  while (*text == ' ' || *text == '\t') text++;
  for (; *text >= '0' && *text < '0' + base; text++) value = value * (unsigned long)base + (unsigned long)(*text - '0');
  if (end) *end = (char *)text;
  return value;
}
char *getenv(const char *name) {
  size_t length = strlen(name);
  for (char **entry = environ; *entry; entry++) if (!strncmp(*entry, name, length) && (*entry)[length] == '=') return *entry + length + 1;
  return NULL;
}

// %s %c, and %d %u %x with l, ll, z, zero and width.
int vsnprintf(char *restrict out, size_t size, const char *restrict format, va_list arguments) {
  size_t n = 0;
#define PUT(character) do { if (n + 1 < size) out[n] = (character); n++; } while (0)
  for (; *format; format++) {
    if (*format != '%') { PUT(*format); continue; }
    int width = 0, wide = 0;
    for (format++; *format >= '0' && *format <= '9'; format++) width = width * 10 + *format - '0';
    for (; *format == 'l' || *format == 'z'; format++) wide = 1;
    if (*format == 'c') PUT((char)va_arg(arguments, int));
    else if (*format == 's') for (const char *text = va_arg(arguments, const char *); *text; text++) PUT(*text);
    else {
      char digits[24];
      int count = 0, base = *format == 'x' ? 16 : 10;
      long value = wide ? va_arg(arguments, long) : *format == 'd' ? va_arg(arguments, int) : (long)va_arg(arguments, unsigned);
      if (*format == 'd' && value < 0) { PUT('-'); value = -value; }
      unsigned long rest = (unsigned long)value;
      do digits[count++] = "0123456789abcdef"[rest % (unsigned)base]; while (rest /= (unsigned)base);
      while (count < width) digits[count++] = '0';
      while (count) PUT(digits[--count]);
    }
  }
  if (size) out[n < size ? n : size - 1] = 0;
  return (int)n;
}
int snprintf(char *restrict out, size_t size, const char *restrict format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int n = vsnprintf(out, size, format, arguments);
  va_end(arguments);
  return n;
}

int main(void);
__attribute__((noreturn, used)) void start(long *stack) { // argc, argv..., 0, environment..., 0
  environ = (char **)(stack + 1 + stack[0] + 1);
  _exit(main());
}
