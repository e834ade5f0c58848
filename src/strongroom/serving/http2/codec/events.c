/* What is told to the application: events, made of base.py's classes, in a list that the next call takes.
 *
 * Law: an event holds no memory of the session; a failed connection is told once, and nothing after it.
 */
#include "codec.h"

#define ERR_TOO_MANY_CONTINUATIONS (-905) /* since 1.61, and in distributions' older versions */

/* Kept for the life of the process, as the module is. */
PyObject *request_class, *opened_class, *data_class, *ended_class, *cancelled_class, *gone_away_class, *failed_class,
    *empty_bytes;
static PyObject *tuple_new;

int
import_classes(void)
{
    const struct {
        const char *name;
        PyObject **class;
    } wanted[] = {
        {"Request", &request_class},      {"Opened", &opened_class},      {"Data", &data_class},
        {"Ended", &ended_class},          {"Cancelled", &cancelled_class}, {"GoneAway", &gone_away_class},
        {"ConnectionFailed", &failed_class},
    };
    PyObject *base = PyImport_ImportModule("strongroom.serving.http2.base");
    int status = base == NULL ? -1 : 0;
    for (size_t i = 0; !status && i < sizeof wanted / sizeof *wanted; i++) {
        *wanted[i].class = PyObject_GetAttrString(base, wanted[i].name);
        status = *wanted[i].class == NULL ? -1 : 0;
    }
    Py_XDECREF(base);
    if (status || (empty_bytes = PyBytes_FromStringAndSize("", 0)) == NULL ||
        (tuple_new = PyObject_GetAttrString((PyObject *)&PyTuple_Type, "__new__")) == NULL) {
        return -1;
    }
    return 0;
}

int
tell(session *self, PyObject *class, PyObject *items)
{
    if (items == NULL) {
        return -1;
    }
    PyObject *event = PyObject_CallFunctionObjArgs(tuple_new, class, items, NULL);
    Py_DECREF(items);
    if (event == NULL) {
        return -1;
    }
    if (self->events == NULL) {
        self->events = PyList_New(0);
    }
    int status = self->events == NULL ? -1 : PyList_Append(self->events, event);
    Py_DECREF(event);
    return status;
}

PyObject *
take_events(session *self)
{
    PyObject *events = self->events;
    self->events = NULL;
    return events != NULL ? events : PyList_New(0);
}

/* End the connection, and say why. */
int
fail(session *self, uint32_t code, const char *reason)
{
    if (self->over) {
        return 0;
    }
    self->over = true;
    note(self, nghttp2_session_terminate_session(self->native, code));
    return tell(self, failed_class, Py_BuildValue("(ks)", (unsigned long)code, reason));
}

int
library_failed(session *self, ssize_t problem)
{
    switch (problem) {
    case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
        return fail(self, NGHTTP2_PROTOCOL_ERROR, "the peer does not speak HTTP/2");
    case NGHTTP2_ERR_FLOODED:
        return fail(self, NGHTTP2_ENHANCE_YOUR_CALM, "the peer does not read what it asks for");
    case ERR_TOO_MANY_CONTINUATIONS:
        return fail(self, NGHTTP2_ENHANCE_YOUR_CALM, "a header block has too many frames");
    default:
        return fail(self, NGHTTP2_INTERNAL_ERROR, "libnghttp2 could not go on");
    }
}
