// underlay.node: the system calls Node has no words for, and readiness of any file descriptor.
//
// In: numbers and Uint8Arrays from net/native.ts. Out: >= 0, or -errno; nothing here throws for a failed system call.
// Plain C against Node-API 8; the handful of libuv prototypes are declared by hand, so uv.h is not needed.
#define _GNU_SOURCE
#define NAPI_VERSION 8
#include <node_api.h>
typedef struct uv_loop_s uv_loop_t;
typedef struct uv_handle_s uv_handle_t;
typedef struct uv_poll_s uv_poll_t;
enum { UV_POLL_TYPE = 8 };
size_t uv_handle_size(int type);
void *uv_handle_get_data(const uv_handle_t *);
void uv_handle_set_data(uv_handle_t *, void *);
int uv_poll_init(uv_loop_t *, uv_poll_t *, int fd);
int uv_poll_start(uv_poll_t *, int events, void (*)(uv_poll_t *, int, int));
int uv_poll_stop(uv_poll_t *);
void uv_close(uv_handle_t *, void (*)(uv_handle_t *));
void uv_ref(uv_handle_t *);
void uv_unref(uv_handle_t *);
const char *uv_err_name(int);
const char *uv_strerror(int);
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define CALL(x) do { if ((x) != napi_ok) { napi_throw_error(env, NULL, #x); return NULL; } } while (0)
#define ARGS(n) napi_value a[n]; size_t argc = n; CALL(napi_get_cb_info(env, info, &argc, a, NULL, NULL)); \
  if (argc < n) { napi_throw_type_error(env, NULL, "missing argument"); return NULL; }
#define FN(name) static napi_value name(napi_env env, napi_callback_info info)
#define BUF(i, p, n) void *p; size_t n; if (buf(env, a[i], &p, &n)) return NULL
#define RETRY(r, x) do r = (x); while (r < 0 && errno == EINTR)

static int i32(napi_env env, napi_value v) { int32_t r = 0; napi_get_value_int32(env, v, &r); return r; }
static int buf(napi_env env, napi_value v, void **p, size_t *n) {
  napi_typedarray_type t; napi_value ab; size_t off;
  if (napi_get_typedarray_info(env, v, &t, n, p, &ab, &off) == napi_ok && t == napi_uint8_array) return 0;
  napi_throw_type_error(env, NULL, "expected Uint8Array");
  return -1;
}
static napi_value ret(napi_env env, long r) { napi_value v; napi_create_int32(env, (int32_t)(r < 0 ? -errno : r), &v); return v; }

FN(Socket) { ARGS(3) return ret(env, socket(i32(env, a[0]), i32(env, a[1]), i32(env, a[2]))); }
FN(Close) { ARGS(1) return ret(env, close(i32(env, a[0]))); }
FN(Bind) { ARGS(2) BUF(1, p, n); return ret(env, bind(i32(env, a[0]), p, n)); }
FN(Connect) { ARGS(2) BUF(1, p, n); return ret(env, connect(i32(env, a[0]), p, n)); }
FN(Listen) { ARGS(2) return ret(env, listen(i32(env, a[0]), i32(env, a[1]))); }
FN(Accept) { ARGS(2) BUF(1, p, n); socklen_t l = n; return ret(env, accept4(i32(env, a[0]), p, &l, SOCK_NONBLOCK | SOCK_CLOEXEC)); }
FN(Setsockopt) { ARGS(4) BUF(3, p, n); return ret(env, setsockopt(i32(env, a[0]), i32(env, a[1]), i32(env, a[2]), p, n)); }
FN(Getsockopt) { ARGS(4) BUF(3, p, n); socklen_t l = n; int r = getsockopt(i32(env, a[0]), i32(env, a[1]), i32(env, a[2]), p, &l); return ret(env, r < 0 ? r : (int)l); }
FN(Getsockname) { ARGS(2) BUF(1, p, n); socklen_t l = n; int r = getsockname(i32(env, a[0]), p, &l); return ret(env, r < 0 ? r : (int)l); }
FN(Send) { ARGS(4) BUF(1, p, n); size_t l = i32(env, a[2]); if (l > n) l = n; ssize_t r; RETRY(r, send(i32(env, a[0]), p, l, i32(env, a[3]))); return ret(env, r); }
FN(Sendto) { ARGS(4) BUF(1, p, n); BUF(2, q, m); ssize_t r; RETRY(r, sendto(i32(env, a[0]), p, n, i32(env, a[3]), q, m)); return ret(env, r); }
FN(Recv) { ARGS(3) BUF(1, p, n); ssize_t r; RETRY(r, recv(i32(env, a[0]), p, n, i32(env, a[2]))); return ret(env, r); }
// sendAsync(fd, data, length, flags) -> Promise of send()'s result: for netlink requests that the kernel takes long over
typedef struct { napi_async_work work; napi_deferred deferred; int fd, flags; size_t length; long result; char data[]; } send_t;
static void send_execute(napi_env env, void *arg) {
  (void)env; send_t *s = arg; ssize_t r;
  RETRY(r, send(s->fd, s->data, s->length, s->flags));
  s->result = r < 0 ? -errno : r;
}
static void send_complete(napi_env env, napi_status status, void *arg) {
  send_t *s = arg; napi_value v;
  napi_create_int32(env, (int32_t)(status == napi_ok ? s->result : -ECANCELED), &v);
  napi_resolve_deferred(env, s->deferred, v);
  napi_delete_async_work(env, s->work);
  free(s);
}
FN(SendAsync) {
  ARGS(4) BUF(1, p, n); size_t l = i32(env, a[2]); if (l > n) l = n;
  send_t *s = malloc(sizeof *s + l); if (!s) return ret(env, (errno = ENOMEM, -1));
  s->fd = i32(env, a[0]); s->flags = i32(env, a[3]); s->length = l; memcpy(s->data, p, l);
  napi_value promise, name; CALL(napi_create_promise(env, &s->deferred, &promise));
  napi_create_string_utf8(env, "underlay:send", NAPI_AUTO_LENGTH, &name);
  CALL(napi_create_async_work(env, NULL, name, send_execute, send_complete, s, &s->work)); CALL(napi_queue_async_work(env, s->work));
  return promise;
}
// recvmsg(fd, data, name, control, out: three int32 {namelen, controllen, flags}), never blocking
FN(Recvmsg) {
  ARGS(5) BUF(1, p, n); BUF(2, q, m); BUF(3, c, k); BUF(4, o, l);
  struct iovec iov = { p, n }; struct msghdr h = { q, m, &iov, 1, c, k, 0 }; ssize_t r;
  RETRY(r, recvmsg(i32(env, a[0]), &h, MSG_DONTWAIT));
  if (r >= 0 && l >= 12) { int32_t w[3] = { h.msg_namelen, h.msg_controllen, h.msg_flags }; memcpy(o, w, 12); }
  return ret(env, r);
}
FN(Open) { ARGS(2) char path[4096]; size_t n; CALL(napi_get_value_string_utf8(env, a[0], path, sizeof path, &n)); return ret(env, open(path, i32(env, a[1]) | O_CLOEXEC, 0600)); }
FN(Setns) { ARGS(2) return ret(env, setns(i32(env, a[0]), i32(env, a[1]))); }
FN(Gettid) { (void)info; return ret(env, gettid()); }
FN(IfIndex) { ARGS(1) char s[64]; size_t n; CALL(napi_get_value_string_utf8(env, a[0], s, sizeof s, &n)); return ret(env, if_nametoindex(s)); }
FN(Flock) { ARGS(2) return ret(env, flock(i32(env, a[0]), i32(env, a[1]))); }
FN(SetPriority) { ARGS(2) return ret(env, setpriority(PRIO_PROCESS, i32(env, a[0]), i32(env, a[1]))); }
FN(SetScheduler) { ARGS(3) struct sched_param p = { i32(env, a[2]) }; return ret(env, sched_setscheduler(i32(env, a[0]), i32(env, a[1]), &p)); }
// attachFilter(fd, instructions: struct sock_filter[] as bytes): classic BPF
FN(AttachFilter) { ARGS(2) BUF(1, p, n); struct sock_fprog f = { n / sizeof(struct sock_filter), p }; return ret(env, setsockopt(i32(env, a[0]), SOL_SOCKET, SO_ATTACH_FILTER, &f, sizeof f)); }
// socketIn(nsFd, selfNsFd, domain, type, protocol): one step as JavaScript sees it; aborts if there is no way back
FN(SocketIn) {
  ARGS(5)
  if (setns(i32(env, a[0]), CLONE_NEWNET) < 0) return ret(env, -1);
  int fd = socket(i32(env, a[2]), i32(env, a[3]), i32(env, a[4])), e = errno;
  if (setns(i32(env, a[1]), CLONE_NEWNET) < 0) abort();
  errno = e;
  return ret(env, fd);
}

// ---- Poll: a uv_poll_t with a JavaScript callback(status, events) ----
typedef struct { uv_poll_t *h; napi_env env; napi_ref cb, self; napi_async_context ctx; int closed; napi_async_cleanup_hook_handle hook; } poll_t;

static void on_closed(uv_handle_t *h) { poll_t *p = uv_handle_get_data(h); free(h); if (p->hook) napi_remove_async_cleanup_hook(p->hook); free(p); }
static void poll_close(poll_t *p) {
  if (p->closed) return;
  p->closed = 1;
  uv_poll_stop(p->h);
  if (p->cb) napi_delete_reference(p->env, p->cb);
  if (p->self) napi_delete_reference(p->env, p->self);
  if (p->ctx) napi_async_destroy(p->env, p->ctx);
  p->cb = p->self = NULL; p->ctx = NULL;
  uv_close((uv_handle_t *)p->h, on_closed);
}
static void on_cleanup(napi_async_cleanup_hook_handle hook, void *arg) { (void)hook; poll_close(arg); }
static void on_poll(uv_poll_t *h, int status, int events) {
  poll_t *p = uv_handle_get_data((uv_handle_t *)h); napi_env env = p->env;
  napi_handle_scope s; napi_value self, fn, args[2], r;
  napi_open_handle_scope(env, &s);
  napi_get_reference_value(env, p->self, &self); napi_get_reference_value(env, p->cb, &fn);
  napi_create_int32(env, status, &args[0]); napi_create_int32(env, events, &args[1]);
  if (napi_make_callback(env, p->ctx, self, fn, 2, args, &r) == napi_pending_exception) { napi_value e; napi_get_and_clear_last_exception(env, &e); napi_fatal_exception(env, e); }
  napi_close_handle_scope(env, s);
}
FN(PollNew) {
  napi_value a[2], self; size_t argc = 2; CALL(napi_get_cb_info(env, info, &argc, a, &self, NULL));
  uv_loop_t *loop; CALL(napi_get_uv_event_loop(env, &loop));
  poll_t *p = calloc(1, sizeof *p); p->env = env; p->h = malloc(uv_handle_size(UV_POLL_TYPE));
  int e = uv_poll_init(loop, p->h, i32(env, a[0]));
  if (e) { free(p->h); free(p); napi_throw_error(env, uv_err_name(e), uv_strerror(e)); return NULL; }
  uv_handle_set_data((uv_handle_t *)p->h, p);
  napi_value name; napi_create_string_utf8(env, "underlay:Poll", NAPI_AUTO_LENGTH, &name); napi_async_init(env, self, name, &p->ctx);
  napi_create_reference(env, a[1], 1, &p->cb); napi_create_reference(env, self, 1, &p->self);
  CALL(napi_wrap(env, self, p, NULL, NULL, NULL)); napi_add_async_cleanup_hook(env, on_cleanup, p, &p->hook);
  return self;
}
#define THIS(n) napi_value a[n + 1], self; size_t argc = n; CALL(napi_get_cb_info(env, info, &argc, a, &self, NULL)); poll_t *p; CALL(napi_unwrap(env, self, (void **)&p));
FN(PollStart) { THIS(1) if (p->closed) return NULL; int e = uv_poll_start(p->h, i32(env, a[0]), on_poll); errno = -e; return ret(env, e); }
FN(PollStop) { THIS(0) if (!p->closed) uv_poll_stop(p->h); return NULL; }
FN(PollRef) { THIS(0) if (!p->closed) uv_ref((uv_handle_t *)p->h); return NULL; }
FN(PollUnref) { THIS(0) if (!p->closed) uv_unref((uv_handle_t *)p->h); return NULL; }
FN(PollClose) {
  napi_value self; size_t argc = 0; CALL(napi_get_cb_info(env, info, &argc, NULL, &self, NULL)); poll_t *p;
  if (napi_remove_wrap(env, self, (void **)&p) == napi_ok) poll_close(p);
  return NULL;
}

NAPI_MODULE_INIT() {
#define F(n, f) { n, NULL, f, NULL, NULL, NULL, napi_enumerable, NULL }
  napi_property_descriptor d[] = {
    F("socket", Socket), F("close", Close), F("bind", Bind), F("connect", Connect), F("listen", Listen), F("accept", Accept),
    F("setsockopt", Setsockopt), F("getsockopt", Getsockopt), F("getsockname", Getsockname), F("send", Send), F("sendto", Sendto), F("sendAsync", SendAsync),
    F("recv", Recv), F("recvmsg", Recvmsg), F("open", Open), F("setns", Setns), F("gettid", Gettid), F("ifNameToIndex", IfIndex),
    F("flock", Flock), F("setPriority", SetPriority), F("setScheduler", SetScheduler), F("attachFilter", AttachFilter), F("socketIn", SocketIn) };
  napi_define_properties(env, exports, sizeof d / sizeof *d, d);
  napi_property_descriptor m[] = { F("start", PollStart), F("stop", PollStop), F("close", PollClose), F("ref", PollRef), F("unref", PollUnref) };
  napi_value c; napi_define_class(env, "Poll", NAPI_AUTO_LENGTH, PollNew, NULL, sizeof m / sizeof *m, m, &c);
  napi_set_named_property(env, exports, "Poll", c);
  return exports;
}
