// Pods that come and go, and the first packets of each: one out to a host behind the fabric and one in from there, in
// both families, sent at the moment that ADD has returned, once.
//
//   churn PLUGIN NODE_NS FAR_NS FAR4 FAR6 WORKERS PODS SOCKET BLOCK4 BLOCK6
//
// Each worker is a thread that takes a new network namespace for each pod, runs the plugin in the node's as a runtime
// does, and sends. BLOCK4 and BLOCK6 are prefixes of addresses for pods that ask for one by name, up to the last octet
// or group: a worker's address then goes from a pod that has just been deleted to the next, with another MAC address or
// with the same one. Prints one JSON object.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PORT = 5001, PATIENCE = 2000, FIRST_STATIC = 10 };
enum { OUT4, OUT6, IN4, IN6, WAYS };
static const char *ways[WAYS] = {"out4", "out6", "in4", "in6"};

static const char *plugin, *socket_path, *block4, *block6;
static int node_ns, far_sockets[2], workers, pods;
static struct sockaddr_in far4;
static struct sockaddr_in6 far6;
static atomic_int next_pod, arrived[WAYS], added, deleted;
/** By pod: has the far host got it? */
static atomic_char *out[2];
static pthread_mutex_t said = PTHREAD_MUTEX_INITIALIZER;
static char problems[8192];
static atomic_llong slowest;

static void problem(const char *format, int pod, const char *text) {
  pthread_mutex_lock(&said);
  size_t length = strlen(problems);
  // Quotes of the plugin's own JSON would end ours.
  char plain[400];
  snprintf(plain, sizeof plain, "%s", text);
  for (char *at = plain; *at; at++)
    if (*at == '"' || *at == '\\' || *at == '\n') *at = ' ';
  if (length < sizeof problems - 600) {
    length += sprintf(problems + length, "%s\"", length ? "," : "");
    length += snprintf(problems + length, 500, format, pod, plain);
    strcpy(problems + length, "\"");
  }
  pthread_mutex_unlock(&said);
}

static void fail(const char *what) {
  fprintf(stderr, "churn: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int64_t microseconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int udp(int family) {
  int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1, room = 4 << 20;
  struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
  struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons(PORT)};
  if (fd < 0) fail("socket");
  if (family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
  if (family == AF_INET6 ? bind(fd, (void *)&any6, sizeof any6) : bind(fd, (void *)&any4, sizeof any4)) fail("bind");
  return fd;
}

/** What the far host gets. */
static void *listen_far(void *unused) {
  (void)unused;
  struct pollfd fds[2] = {{far_sockets[0], POLLIN, 0}, {far_sockets[1], POLLIN, 0}};
  while (poll(fds, 2, -1) >= 0)
    for (int six = 0; six < 2; six++)
      for (uint32_t pod; recv(far_sockets[six], &pod, sizeof pod, 0) == sizeof pod;)
        if (pod < (uint32_t)pods) out[six][pod] = 1;
  return NULL;
}

/** The plugin, in the node's namespace; its answer in `answer`. Returns its exit code. */
static int run(const char *verb, int id, const char *netns, const char *args, char *answer, size_t size) {
  char container[64], ns[96], arguments[160], command[32], config[512];
  sprintf(command, "CNI_COMMAND=%s", verb);
  sprintf(container, "CNI_CONTAINERID=churn-%d", id);
  sprintf(ns, "CNI_NETNS=%s", netns);
  sprintf(arguments, "CNI_ARGS=%s", args);
  int length = sprintf(config, "{\"cniVersion\":\"1.0.0\",\"name\":\"churn\",\"type\":\"underlay\",\"pool\":\"default\",\"socket\":\"%s\"}", socket_path);
  char *environment[] = {command, container, ns, arguments, "CNI_IFNAME=eth0", "CNI_PATH=/opt/cni/bin", NULL};
  char *words[] = {(char *)plugin, NULL};
  int in[2], back[2], status;
  if (pipe2(in, O_CLOEXEC) || pipe2(back, O_CLOEXEC)) fail("pipe");
  if (write(in[1], config, length) != length) fail("write");
  close(in[1]);
  pid_t child = vfork();
  if (child < 0) fail("vfork");
  if (child == 0) {
    if (setns(node_ns, CLONE_NEWNET)) _exit(120);
    dup2(in[0], 0);
    dup2(back[1], 1);
    execve(plugin, words, environment);
    _exit(121);
  }
  close(in[0]);
  close(back[1]);
  if (waitpid(child, &status, 0) < 0) fail("waitpid");
  // What it wrote fits the pipe.
  ssize_t got = read(back[0], answer, size - 1);
  answer[got > 0 ? got : 0] = 0;
  close(back[0]);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/** The addresses of a result, IPv4 first. */
static int addresses(const char *answer, struct sockaddr_in *v4, struct sockaddr_in6 *v6) {
  int found = 0;
  for (const char *at = answer; (at = strstr(at, "\"address\":\"")) != NULL;) {
    char text[64];
    size_t length = strcspn(at += 11, "/\"");
    if (length >= sizeof text) return 0;
    memcpy(text, at, length);
    text[length] = 0;
    *v4 = found ? *v4 : (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(PORT)};
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) found |= 1;
    *v6 = found & 2 ? *v6 : (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
    if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) found |= 2;
  }
  return found == 3;
}

static void churn(int worker, int pod) {
  if (unshare(CLONE_NEWNET)) fail("unshare");
  char netns[64], args[160] = "", answer[4096];
  sprintf(netns, "/proc/%d/task/%ld/ns/net", getpid(), syscall(SYS_gettid));
  int own[2] = {udp(AF_INET), udp(AF_INET6)};
  // In turn: any address; an address again, with another MAC; with the same MAC; any address, and a MAC again.
  int again = pod / workers % 4, used = 0;
  if (again == 1 || again == 2)
    used = sprintf(args, "IP=%s%d,%s%x", block4, FIRST_STATIC + worker, block6, FIRST_STATIC + worker);
  if (again >= 2) sprintf(args + used, "%sMAC=02:00:00:00:01:%02x", used ? ";" : "", worker);
  int code = run("ADD", pod, netns, args, answer, sizeof answer);
  int64_t returned = microseconds();
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
  if (code != 0 || !addresses(answer, &v4, &v6)) problem("pod %d: ADD: %s", pod, answer);
  else {
    uint32_t number = pod;
    sendto(own[0], &number, sizeof number, 0, (void *)&far4, sizeof far4);
    sendto(own[1], &number, sizeof number, 0, (void *)&far6, sizeof far6);
    sendto(far_sockets[0], &number, sizeof number, 0, (void *)&v4, sizeof v4);
    sendto(far_sockets[1], &number, sizeof number, 0, (void *)&v6, sizeof v6);
    int64_t took = microseconds() - returned;
    if (took > slowest) slowest = took;
    added++;
    int in[2] = {0, 0};
    while (microseconds() - returned < PATIENCE * 1000 && !(in[0] && in[1] && out[0][pod] && out[1][pod])) {
      struct pollfd fds[2] = {{in[0] ? -1 : own[0], POLLIN, 0}, {in[1] ? -1 : own[1], POLLIN, 0}};
      poll(fds, 2, 1);
      for (int six = 0; six < 2; six++)
        for (uint32_t got; recv(own[six], &got, sizeof got, 0) == sizeof got;)
          if (got == number) in[six] = 1;
    }
    const int came[WAYS] = {out[0][pod], out[1][pod], in[0], in[1]};
    for (int way = 0; way < WAYS; way++) {
      if (came[way]) arrived[way]++;
      else problem("pod %d: %s is lost", pod, ways[way]);
    }
  }
  if (run("DEL", pod, netns, args, answer, sizeof answer) == 0) deleted++;
  else problem("pod %d: DEL: %s", pod, answer);
  close(own[0]);
  close(own[1]);
}

static void *work(void *number) {
  for (int pod; (pod = next_pod++) < pods;) churn((int)(intptr_t)number, pod);
  return NULL;
}

static int namespace(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail(path);
  return fd;
}

int main(int argc, char **argv) {
  if (argc != 11) return 2;
  plugin = argv[1];
  node_ns = namespace(argv[2]);
  int far_ns = namespace(argv[3]);
  far4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(PORT)};
  far6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
  if (inet_pton(AF_INET, argv[4], &far4.sin_addr) != 1 || inet_pton(AF_INET6, argv[5], &far6.sin6_addr) != 1) return 2;
  workers = atoi(argv[6]);
  pods = atoi(argv[7]);
  socket_path = argv[8];
  block4 = argv[9];
  block6 = argv[10];
  for (int six = 0; six < 2; six++) out[six] = calloc(pods, 1);
  if (setns(far_ns, CLONE_NEWNET)) fail("setns");
  far_sockets[0] = udp(AF_INET);
  far_sockets[1] = udp(AF_INET6);
  pthread_t listener, threads[workers];
  pthread_create(&listener, NULL, listen_far, NULL);
  int64_t began = microseconds();
  for (intptr_t i = 0; i < workers; i++) pthread_create(&threads[i], NULL, work, (void *)i);
  for (int i = 0; i < workers; i++) pthread_join(threads[i], NULL);
  printf("{\"pods\":%d,\"added\":%d,\"deleted\":%d,\"milliseconds\":%lld,\"slowestSend\":%lld", pods, added, deleted,
         (long long)(microseconds() - began) / 1000, (long long)slowest);
  for (int way = 0; way < WAYS; way++) printf(",\"%s\":%d", ways[way], arrived[way]);
  printf(",\"problems\":[%s]}\n", problems);
  return 0;
}
