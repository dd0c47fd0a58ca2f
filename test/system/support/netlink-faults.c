// Loaded before libc (LD_PRELOAD): a kernel that refuses, forgets and interrupts, as far as the program's rtnetlink sockets
// can tell. What it does not do to a call is left to the real kernel. The file $NETLINK_FAULTS is shared with the test:
// struct control below.
//
// send: ENOBUFS, ENOMEM, EAGAIN, EINTR with nothing sent; a part of the messages sent only; or one message kept from the
// kernel and answered with EBUSY, ENOMEM, ENOBUFS, EAGAIN or EINTR. recv: EINTR, ENOMEM with nothing read; a datagram lost
// (ENOBUFS); a dump that says that it was interrupted.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REFUSED_CALL, SHORT, REFUSED_MESSAGE, LOST, NOT_READ, INTERRUPTED, KINDS };
struct control { uint32_t one_in, count[KINDS]; };

static struct control none, *control = &none;
static int (*real_socket)(int, int, int);
static int (*real_close)(int);
static ssize_t (*real_send)(int, const void *, size_t, int);
static ssize_t (*real_recv)(int, void *, size_t, int);
/** Of a message that the kernel has not seen, until it is read. */
struct answer { struct nlmsghdr header; struct nlmsgerr error; };
static struct { int route, dumping, answered; struct answer answer; } sockets[4096];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t seed = 88172645463325252u;

__attribute__((constructor)) static void load(void) {
  real_socket = dlsym(RTLD_NEXT, "socket");
  real_close = dlsym(RTLD_NEXT, "close");
  real_send = dlsym(RTLD_NEXT, "send");
  real_recv = dlsym(RTLD_NEXT, "recv");
  const char *path = getenv("NETLINK_FAULTS");
  int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0) return;
  void *shared = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (shared != MAP_FAILED) control = shared;
  real_close(fd);
}

static uint32_t below(uint32_t limit) {
  pthread_mutex_lock(&lock);
  seed ^= seed << 13; seed ^= seed >> 7; seed ^= seed << 17;
  uint32_t value = (uint32_t)(seed >> 20) % limit;
  pthread_mutex_unlock(&lock);
  return value;
}
static int route(int fd) { return fd >= 0 && fd < 4096 && sockets[fd].route; }
static int due(uint32_t share) { uint32_t n = control->one_in; return n && below(n * share) == 0; }
static ssize_t fail(int kind, int error) { __sync_fetch_and_add(&control->count[kind], 1); errno = error; return -1; }

int socket(int domain, int type, int protocol) {
  int fd = real_socket(domain, type, protocol);
  if (fd >= 0 && fd < 4096) { sockets[fd].route = domain == AF_NETLINK && protocol == NETLINK_ROUTE; sockets[fd].answered = 1; }
  return fd;
}
int close(int fd) {
  if (fd >= 0 && fd < 4096) sockets[fd].route = 0;
  return real_close(fd);
}

static ssize_t refuse(int fd, const void *data, size_t length, int flags) {
  static const int errors[] = { EBUSY, ENOMEM, ENOBUFS, EAGAIN, EINTR };
  char *copy = malloc(length);
  memcpy(copy, data, length);
  int count = 0, left = length;
  for (struct nlmsghdr *h = (void *)copy; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) count++;
  int chosen = below(count);
  left = length;
  struct nlmsghdr *h = (void *)copy;
  while (chosen-- > 0) h = NLMSG_NEXT(h, left);
  struct answer *a = &sockets[fd].answer;
  memset(a, 0, sizeof *a);
  a->header = (struct nlmsghdr){ sizeof *a, NLMSG_ERROR, NLM_F_CAPPED, h->nlmsg_seq, 0 };
  a->error = (struct nlmsgerr){ -errors[below(5)], *h };
  sockets[fd].answered = 0;
  // Without what the last one is answered for: its answer is ours.
  h->nlmsg_type = NLMSG_NOOP;
  h->nlmsg_flags &= ~NLM_F_ACK;
  ssize_t sent = real_send(fd, copy, length, flags);
  free(copy);
  fail(REFUSED_MESSAGE, 0);
  return sent;
}

ssize_t send(int fd, const void *data, size_t length, int flags) {
  if (!route(fd)) return real_send(fd, data, length, flags);
  sockets[fd].answered = 1;
  const struct nlmsghdr *first = data;
  sockets[fd].dumping = (first->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP && first->nlmsg_type % 4 == 2;
  if (!due(1)) return real_send(fd, data, length, flags);
  static const int errors[] = { ENOBUFS, ENOMEM, EAGAIN, EINTR };
  uint32_t choice = below(8);
  if (choice < 4) return fail(REFUSED_CALL, errors[choice]);
  size_t part = NLMSG_ALIGN(first->nlmsg_len);
  if (choice > 5 || part >= length) return refuse(fd, data, length, flags);
  fail(SHORT, 0);
  return real_send(fd, data, part, flags);
}

ssize_t recv(int fd, void *data, size_t length, int flags) {
  if (!route(fd)) return real_recv(fd, data, length, flags);
  if (!sockets[fd].answered && !(flags & MSG_DONTWAIT)) {
    // In the order of the requests, as the kernel answers.
    struct nlmsghdr first;
    ssize_t there = real_recv(fd, &first, sizeof first, MSG_PEEK | MSG_DONTWAIT);
    if (there == sizeof first && (int32_t)(first.nlmsg_seq - sockets[fd].answer.header.nlmsg_seq) < 0)
      return real_recv(fd, data, length, flags);
    sockets[fd].answered = 1;
    memcpy(data, &sockets[fd].answer, sizeof(struct answer));
    return sizeof(struct answer);
  }
  // Several of them for a write, so not as often.
  int now = due(sockets[fd].dumping ? 1 : 4);
  if (now && below(3) == 0) return fail(NOT_READ, below(2) ? EINTR : ENOMEM);
  ssize_t read = real_recv(fd, data, length, flags);
  if (read < 0 || !now) return read;
  if (!sockets[fd].dumping) return fail(LOST, ENOBUFS);
  int left = read;
  for (struct nlmsghdr *h = data; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) h->nlmsg_flags |= NLM_F_DUMP_INTR;
  fail(INTERRUPTED, 0);
  return read;
}
