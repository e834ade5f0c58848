/* A session's settings, its type, and the module `_codec` with its one class.
 *
 * Law: settings are checked for the ranges that the code relies on (codec.h); a session that cannot be made is freed.
 * Module state is a few immortal objects and libnghttp2's table of callbacks, made once.
 */
#include "codec.h"

#define DEFAULT_WINDOW 65535 /* RFC 9113 section 6.9.2 */
#define MAX_UNSENT_ACKS 1000
#define SETTINGS_NO_RFC7540_PRIORITIES 9 /* RFC 9218 section 2.1 */
#define OLDEST_LIBRARY 0x013400          /* 1.52 */
#define LARGEST_BODY ((size_t)PY_SSIZE_T_MAX / 4)

static nghttp2_session_callbacks *callbacks;

static int
read_size(PyObject *settings, const char *name, size_t limit, size_t *size)
{
    PyObject *value = PyObject_GetAttrString(settings, name);
    if (value == NULL) {
        return -1;
    }
    *size = PyLong_AsSize_t(value);
    Py_DECREF(value);
    if (*size == (size_t)-1 && PyErr_Occurred() != NULL) {
        return -1;
    }
    if (*size > limit) {
        PyErr_Format(PyExc_ValueError, "%s is larger than %zu", name, limit);
        return -1;
    }
    return 0;
}

static int
read_number(PyObject *settings, const char *name, double *number)
{
    PyObject *value = PyObject_GetAttrString(settings, name);
    if (value == NULL) {
        return -1;
    }
    *number = PyFloat_AsDouble(value);
    Py_DECREF(value);
    return *number == -1.0 && PyErr_Occurred() != NULL ? -1 : 0;
}

static int
read_budget(PyObject *settings, const char *burst, const char *per_s, budget *tokens)
{
    if (read_number(settings, burst, &tokens->burst) || read_number(settings, per_s, &tokens->per_s)) {
        return -1;
    }
    tokens->level = tokens->burst;
    return 0;
}

static int
open_native(session *self, const nghttp2_settings_entry *entries, size_t count)
{
    nghttp2_option *option = NULL;
    int status = nghttp2_option_new(&option);
    if (!status) {
        nghttp2_option_set_no_auto_window_update(option, 1);
        nghttp2_option_set_no_closed_streams(option, 1);
        nghttp2_option_set_max_outbound_ack(option, MAX_UNSENT_ACKS);
        status = nghttp2_session_server_new2(&self->native, callbacks, self, option);
        nghttp2_option_del(option);
    }
    if (status || nghttp2_submit_settings(self->native, NGHTTP2_FLAG_NONE, entries, count) ||
        nghttp2_session_set_local_window_size(self->native, NGHTTP2_FLAG_NONE, 0, (int32_t)self->window)) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static int
configure(session *self, PyObject *settings)
{
    size_t streams, initial_window, connection_window, frame_size;
    if (read_size(settings, "max_concurrent_streams", INT32_MAX, &streams) ||
        read_size(settings, "max_header_list_bytes", INT32_MAX, &self->max_header_bytes) ||
        read_size(settings, "max_header_count", INT32_MAX, &self->max_header_count) ||
        read_size(settings, "max_body_bytes", LARGEST_BODY, &self->max_body) ||
        read_size(settings, "max_connection_body_bytes", LARGEST_BODY, &self->max_connection_body) ||
        read_size(settings, "initial_window", INT32_MAX, &initial_window) ||
        read_size(settings, "connection_window", INT32_MAX, &connection_window) ||
        read_size(settings, "max_frame_size", (1 << 24) - 1, &frame_size) ||
        read_budget(settings, "reset_burst", "resets_per_s", &self->resets) ||
        read_budget(settings, "control_burst", "controls_per_s", &self->controls) ||
        (self->streaming_paths = PyObject_GetAttrString(settings, "streaming_paths")) == NULL) {
        return -1;
    }
    if (!PyFrozenSet_Check(self->streaming_paths)) {
        PyErr_SetString(PyExc_TypeError, "streaming_paths is a frozenset");
        return -1;
    }
    self->window = connection_window < self->max_connection_body ? connection_window : self->max_connection_body;
    self->window = self->window > DEFAULT_WINDOW ? self->window : DEFAULT_WINDOW;
    const nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, (uint32_t)streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, (uint32_t)initial_window},
        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, (uint32_t)frame_size},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)self->max_header_bytes},
        {SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    return open_native(self, entries, sizeof entries / sizeof *entries);
}

static PyObject *
session_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    PyObject *settings;
    if (keywords != NULL && PyDict_Size(keywords)) {
        PyErr_SetString(PyExc_TypeError, "CodecSession(settings)");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O:CodecSession", &settings)) {
        return NULL;
    }
    PyObject *object = PyType_GenericAlloc(type, 0); /* all zero */
    if (object != NULL && configure((session *)object, settings)) {
        Py_CLEAR(object);
    }
    return object;
}

/* Nobody knows the session any more, so that code which runs when buffers are released cannot call it. */
static void
session_dealloc(PyObject *object)
{
    session *self = (session *)object;
    PyTypeObject *type = Py_TYPE(object);
    nghttp2_session_del(self->native); /* calls nothing back; takes NULL */
    while (self->first != NULL) {
        stream *st = self->first;
        self->first = st->next;
        free_stream(st);
    }
    free_block(&self->block);
    Py_CLEAR(self->streaming_paths);
    Py_CLEAR(self->events);
    Py_CLEAR(self->out);
    PyObject_Free(object);
    Py_DECREF(type);
}

/* Properties: they read only, and are true in the midst of a call too. */

static bool
wants_write(const session *self)
{
    return self->out_bytes > 0 || nghttp2_session_want_write(self->native);
}

#define PROPERTY(name, value)                  \
    static PyObject *                          \
    get_##name(PyObject *object, void *unused) \
    {                                          \
        const session *self = (session *)object; \
        (void)unused;                          \
        return value;                          \
    }

PROPERTY(wants_write, PyBool_FromLong(wants_write(self)))
PROPERTY(ended, PyBool_FromLong(!wants_write(self) && (self->over || !nghttp2_session_want_read(self->native))))
PROPERTY(greeted, PyBool_FromLong(self->greeted))
PROPERTY(open_streams, PyLong_FromSsize_t(self->open_streams))
PROPERTY(arriving, PyLong_FromSsize_t(self->arriving))
PROPERTY(pending_body_bytes, PyLong_FromSize_t(self->pending))
PROPERTY(unsent_bytes, PyLong_FromSize_t(self->unsent))

static PyObject *
get_align(PyObject *object, void *unused)
{
    (void)unused;
    return PyLong_FromSize_t(((const session *)object)->align);
}

/* Of bodies that begin from now on; any integer is well. */
static int
set_align(PyObject *object, PyObject *value, void *unused)
{
    (void)unused;
    if (value == NULL || !PyLong_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "align is an int");
        return -1;
    }
    ((session *)object)->align = PyLong_AsUnsignedLongLongMask(value) % ALIGNMENT;
    return 0;
}

#define GETTER(name) {#name, get_##name, NULL, NULL, NULL}

static PyGetSetDef properties[] = {
    GETTER(wants_write), GETTER(ended),    GETTER(greeted),
    GETTER(open_streams), GETTER(arriving), GETTER(pending_body_bytes),
    GETTER(unsent_bytes), {"align", get_align, set_align, NULL, NULL}, {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "One server-side HTTP/2 connection; see strongroom.serving.http2.base.Session."},
    {Py_tp_new, session_new},
    {Py_tp_dealloc, session_dealloc},
    {Py_tp_methods, session_methods},
    {Py_tp_getset, properties},
    {0, NULL},
};

static PyType_Spec session_spec = {
    .name = "strongroom.serving.http2._codec.CodecSession",
    .basicsize = sizeof(session),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = slots,
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_codec", "HTTP/2 sessions over libnghttp2, compiled.", -1, NULL, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC
PyInit__codec(void)
{
    if (nghttp2_version(OLDEST_LIBRARY) == NULL) {
        PyErr_SetString(PyExc_ImportError, "libnghttp2 is older than 1.52");
        return NULL;
    }
    if (import_classes()) {
        return NULL;
    }
    if (nghttp2_session_callbacks_new(&callbacks)) {
        return PyErr_NoMemory();
    }
    set_arriving(callbacks);
    set_output(callbacks);
    PyObject *module = PyModule_Create(&definition);
    PyObject *type = module != NULL ? PyType_FromSpec(&session_spec) : NULL;
    if (type == NULL || PyModule_AddObjectRef(module, "CodecSession", type)) {
        Py_CLEAR(module);
    }
    Py_XDECREF(type);
    return module;
}
