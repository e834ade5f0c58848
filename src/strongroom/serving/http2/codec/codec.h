/* HTTP/2 sessions over libnghttp2, compiled: the twin of nghttp2_cffi.py and of the modules beside it.
 *
 * What is done and why is said there and in base.py; here it is done without Python's cost. One contract suite and a
 * differential fuzzer hold both to the same events and the same bytes. Read on in the order of a request:
 *
 *     arriving.c   what libnghttp2 tells while it reads: frames, headers, data, ends
 *     headers.c    a header block: counted, kept, shared with the one before
 *     bodies.c     what a body may cost, and how far windows open
 *     events.c     what is told to the application
 *     answers.c    what is to be sent of an answer
 *     output.c     the bytes that go out
 *     calls.c      the methods that Python calls; arguments.c their arguments
 *     module.c     settings, the type with its properties, the module
 *
 * Laws.
 * 1. A size that a peer chooses is compared with a limit before memory is spent; for its word alone 4 KiB are reserved.
 * 2. A function that returns int returns 0, or -1 with Python's error set, unless it says otherwise. Such an error
 *    inside a callback ends the call that runs, which raises it; the session is over then.
 * 3. Every call holds the GIL. Any allocation or release of a Python object may run code of others (finalizers,
 *    buffers' owners), which finds the session `busy`: it cannot call in, and nothing held here goes meanwhile.
 * 4. A stream lives from its first header block until on_stream_close, which libnghttp2 calls only while it reads
 *    (nghttp2_session_mem_recv) or sends (nghttp2_session_mem_send); submitting never frees one.
 * 5. Arguments are checked before anything changes: a call that raises TypeError, BufferError or OverflowError did
 *    nothing.
 */
#ifndef STRONGROOM_CODEC_H
#define STRONGROOM_CODEC_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(size_t) >= 8, "sums of limits (each below 2**31, bodies below 2**61) fit into a size_t");

#define PREFIX_BYTES 5 /* of a gRPC message: a flag, four bytes of length */
#define FRAME_HEADER_BYTES 9
#define ALIGNMENT 16 /* of the memory of a large object; base.ALIGNMENT */
#define REQUEST_EARNS 8.0 /* tokens of the control budget; the same numbers are in refusals.py */
#define EARNED_PER_BYTE (1.0 / 1024.0)

enum framing { HTTP, MESSAGE, COMPRESSED, BROKEN }; /* base.Framing */

typedef struct {
    uint8_t *data;
    size_t size, room;
} bytes_buffer;

/* A piece of an answer: a buffer of the application's, held until it is sent, and perhaps a gRPC prefix before it. */
typedef struct piece {
    struct piece *next;
    Py_buffer view;
    size_t prefix_left; /* bytes of the prefix that are not sent */
    size_t sent;        /* bytes of the view that are */
    uint8_t prefix[PREFIX_BYTES];
} piece;

typedef struct stream {
    struct stream *next, *previous;
    int32_t number;
    double began;
    PyObject *method, *path, *headers; /* from the end of the header block until they are handed out */
    PyObject *body;                    /* a bytes object that only we know and still write to, or NULL */
    size_t body_bytes, body_room;      /* held, and counted by the session; reserved */
    size_t body_lead;                  /* bytes before the body in its object, so that a tensor in it lies well */
    uint64_t expected;                 /* bytes that content-length declares: a hint */
    uint64_t declared;                 /* bytes of the gRPC message; of an opened stream, bytes so far */
    size_t prefix_size;
    uint8_t prefix[PREFIX_BYTES];
    enum framing framing;
    bool in_headers, is_head, streaming, too_large;
    bool handed;       /* the application knows it */
    bool ignored;      /* whatever comes is dropped */
    bool remote_ended; /* END_STREAM came */
    bool begun;        /* an answer of several messages was started */
    bool answered;     /* the last call of the answer was made */
    bool end_of_answer, has_trailers;
    piece *first_piece, *last_piece;
    size_t unsent; /* bytes of the pieces */
    long trailer_code;
    PyObject *trailer_text; /* encoded bytes, or NULL */
} stream;

typedef struct {
    double level, burst, per_s;
} budget;

/* A part of the header block that arrives, and of the one before it, of which `made` was made. */
typedef struct {
    bytes_buffer now, before;
    PyObject *made;
} shared;

typedef struct {
    stream *stream; /* whose block arrives or came last; NULL: of nobody we know */
    size_t bytes, count;
    unsigned continuations;
    uint64_t content_length;
    bool is_grpc, has_authority;
    shared method, path, fields;
} header_block;

typedef struct {
    PyObject_HEAD
    nghttp2_session *native;
    size_t max_header_bytes, max_header_count, max_body, max_connection_body, window;
    PyObject *streaming_paths;
    budget resets, controls;
    double now;
    size_t align; /* modulo ALIGNMENT, the place in a message that is to lie at a multiple of it */
    stream *first, *last;
    Py_ssize_t open_streams, arriving;
    size_t pending;      /* bytes of bodies held: arriving, or handed out and not answered */
    size_t handed_bytes; /* those of them that are handed out */
    size_t unconsumed;   /* bytes of bodies that the connection's window is not opened for again */
    size_t unsent;       /* bytes of answers */
    header_block block;
    PyObject *events; /* a list, or NULL for an empty one */
    PyObject *out;    /* a bytes object that only we know and still write to, or NULL */
    size_t out_bytes, out_room;
    size_t data_limit; /* no DATA frame begins where so many bytes wait */
    bool over, greeted, busy;
} session;

/* An answer without the application: an HTTP status, or for gRPC a status code and its text (refusals.py). */
typedef struct {
    int status, grpc_code;
    const char *text;
} refusal;

#define HIDDEN __attribute__((visibility("hidden")))

/* events.c */
extern HIDDEN PyObject *request_class, *opened_class, *data_class, *ended_class, *cancelled_class, *gone_away_class,
    *failed_class, *empty_bytes;
HIDDEN int import_classes(void);
HIDDEN int tell(session *self, PyObject *class, PyObject *items); /* steals items; NULL: they could not be made */
HIDDEN PyObject *take_events(session *self);
HIDDEN int fail(session *self, uint32_t code, const char *reason);
HIDDEN int library_failed(session *self, ssize_t problem);

/* headers.c */
HIDDEN void begin_block(header_block *block, stream *st);
HIDDEN int add_field(session *self, const uint8_t *name, size_t name_size, const uint8_t *value, size_t size);
HIDDEN int give_headers(session *self, stream *st);
HIDDEN bool is_connect(const session *self);
HIDDEN void free_block(header_block *block);

/* bodies.c */
HIDDEN int take(session *self, stream *st, const uint8_t *data, size_t size); /* 1 taken, 0 too large, -1 error */
HIDDEN enum framing whole(const stream *st);
HIDDEN PyObject *take_body(stream *st);
HIDDEN void release_body(session *self, stream *st);
HIDDEN void drop(session *self, stream *st);
HIDDEN int balance(session *self);

/* answers.c */
extern HIDDEN const refusal TOO_LARGE, TOO_MANY_HEADERS, TOO_MUCH_HELD, NO_MEMORY, TOO_SLOW, NO_TUNNELS;
HIDDEN piece *make_piece(PyObject *message, bool with_prefix);
HIDDEN void free_piece(piece *one);
HIDDEN void queue_piece(session *self, stream *st, piece *one);
HIDDEN void copy_pieces(stream *st, char *to, size_t length);
HIDDEN void free_answer(stream *st);
HIDDEN void submit(session *self, int32_t number, const nghttp2_nv *fields, size_t count, bool has_body);
HIDDEN void submit_grpc(session *self, int32_t number);
HIDDEN void submit_reset(session *self, int32_t number, uint32_t code);
HIDDEN void end_by_status(session *self, stream *st, long code, PyObject *text);
HIDDEN int refuse(session *self, stream *st, const refusal *why);

/* arriving.c, output.c */
HIDDEN void set_arriving(nghttp2_session_callbacks *callbacks);
HIDDEN void free_stream(stream *st);
HIDDEN void set_output(nghttp2_session_callbacks *callbacks);
HIDDEN int drain(session *self, size_t limit, size_t data_limit);
HIDDEN PyObject *take_output(session *self);

/* arguments.c */
HIDDEN int wanted(Py_ssize_t count, Py_ssize_t expected, const char *usage);
HIDDEN int number_of(PyObject *argument, int32_t *number); /* -1 for a stream that cannot be */
HIDDEN int error_code_of(PyObject *argument, uint32_t *code);
HIDDEN int time_of(PyObject *argument, double *time);
HIDDEN PyObject *percent_encoded(PyObject *text);
HIDDEN int fill_fields(nghttp2_nv *fields, PyObject *pairs);

/* calls.c */
extern HIDDEN PyMethodDef session_methods[];

#define DIGITS 24 /* room for a long in decimal */
#define FIELD(n, v, nl, vl) {(uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), (nl), (vl), NGHTTP2_NV_FLAG_NONE}
#define CONSTANT(n, v) FIELD(n, v, sizeof(n) - 1, sizeof(v) - 1)

static inline stream *
find_stream(const session *self, int32_t number)
{
    return number > 0 ? nghttp2_session_get_stream_user_data(self->native, number) : NULL;
}

/* Every failure of a submission but this one says that the stream is gone. */
static inline void
note(session *self, int status)
{
    if (status == NGHTTP2_ERR_NOMEM) {
        self->over = true;
    }
}

static inline void
earn(budget *tokens, double earned)
{
    double level = tokens->level + earned;
    tokens->level = level < tokens->burst ? level : tokens->burst;
}

static inline bool
spend(budget *tokens)
{
    tokens->level -= 1.0;
    return tokens->level >= 0.0;
}

#endif
