/* The C interface of sonotrace: generated from its Rust source, do not edit.
 *
 * SESSIONS AND THREADS. A session lives in memory that the caller provides and starts no thread. It has five sides, each
 * for one thread at a time; the comment of each call says to which it belongs:
 *   acquisition  sonotrace_frame_acquire, sonotrace_frame_commit
 *   user's       sonotrace_prompt, sonotrace_set_frozen
 *   worker       sonotrace_step, the only call that computes
 *   display's    sonotrace_overlay_poll, sonotrace_overlay_wait
 *   log's        sonotrace_event_next
 * A second call on one side gets SONOTRACE_STATUS_BUSY. sonotrace_counters and all calls without a session may come from
 * any thread; sonotrace_close is refused while any other call is in progress. No call waits for another, but
 * sonotrace_overlay_wait for a step that commits an overlay, as long as its caller allows. After
 * sonotrace_open, the calls on a session allocate nothing, lock nothing and open nothing.
 *
 * VERSIONS. The sizes of all structures and SONOTRACE_ABI_VERSION go from this header into the configuration
 * (sonotrace_config_default) and are compared when a session is opened: a caller that was compiled with another header gets
 * SONOTRACE_STATUS_VERSION. The counters may be shorter or longer than the library's.
 *
 * MEMORY. The region of a session starts on a multiple of what sonotrace_memory_required returns; a model's bytes start on a
 * multiple of 64 (sonotrace_model_map maps them to a page). Both stay in place until the session is closed. Nothing else needs
 * more than C's own alignment. A call needs at most SONOTRACE_STACK_BYTES of stack (measured by a test; sonotrace_model_map and
 * calls that fail included). Before a scan: sonotrace_memory_lock for the region and the model, sonotrace_thread_prepare on each
 * thread, sonotrace_program_prefault once. Then a scan causes no page fault. sonotrace_thread_realtime gives each thread its priority
 * and its core.
 *
 * COORDINATES. The plane is the scan plane in millimetres: x is lateral, to the right on the display, y is depth, downwards.
 * Linear: the origin is on the face of the probe, at the x that the frame's left_mm and right_mm count from. Convex and
 * phased: the origin is where the probe's axis (angle 0) meets its face, apex_radius_mm below the apex; angles are positive
 * to the right. Raster: left_mm and top_mm place the centre of the first pixel. Raster of unknown scale: the unit is the
 * picture's pixel, the origin is the centre of its first pixel, and millimetre fields are 0.
 * The field of view is a rectangle: of linear frames, from the first to the last line and sample; of convex and phased ones,
 * the smallest one around the sector; of a picture, its content, up to half a pixel beyond the centres of the outermost pixels.
 * The display: the field of view is fitted into display_width x display_height, with square pixels, centred, as large as
 * possible; x right, y down, whole numbers at pixel centres, (0, 0) the centre of the top left pixel. With a display of 0 x 0,
 * pixels are those of the picture itself.
 *
 * FAILURES. Every call that can fail returns a status; sonotrace_last_error then gives the thread's reason: what is wrong,
 * the limit, the value seen. Any call may return SONOTRACE_STATUS_NULL_POINTER or SONOTRACE_STATUS_PANIC; any call on a session
 * SONOTRACE_STATUS_NOT_A_SESSION, _BUSY or _POISONED; the calls of its five sides SONOTRACE_STATUS_RING. The comment of each
 * call names the others. SONOTRACE_STATUS_EMPTY and _TIMEOUT are no failures, and leave the last error's text. Outputs are set
 * after a failure too, and if a queue is empty: to 0 or null. A call that fails has no other effect, unless its comment says so.
 */

#ifndef SONOTRACE_H
#define SONOTRACE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define SONOTRACE_FRAME_ABI_VERSION 1
#define SONOTRACE_OVERLAY_ABI_VERSION 3
#define SONOTRACE_TGC_POINTS 8
#define SONOTRACE_LINES_MAX 4096
#define SONOTRACE_FRAME_FIELDS 32
#define SONOTRACE_SAMPLES_MAX 8192
#define SONOTRACE_LAW_LINEAR 1 /* proportional to the echo: the library compresses over law_range_db */
#define SONOTRACE_LAW_LOGARITHMIC 2 /* compressed already: 0 to full scale are law_range_db */
#define SONOTRACE_LAW_VENDOR_TABLE 3 /* compressed already by table law_table of the configuration */
#define SONOTRACE_FRAME_FROZEN 1 /* the image is frozen: the frame is dropped and counted */
#define SONOTRACE_FRAME_BURNT_IN_OVERLAY 2 /* text or graphics are burnt into the samples (for records: it changes nothing) */
#define SONOTRACE_FRAME_REPLAYED 4 /* a recorded cine, not a live frame (for records: it changes nothing) */
#define SONOTRACE_FRAME_GAP_BEFORE 8 /* frames are missing before this one: its overlay says so too */
#define SONOTRACE_FRAME_CRC_PRESENT 16 /* crc32 holds the checksum of the payload, and a step checks it */
#define SONOTRACE_FRAME_TGC_PENDING 32 /* the library applies tgc and gain_db; without it they have been applied */
#define SONOTRACE_OBJECTS_MAX 10
#define SONOTRACE_CONTOUR_POINTS_MAX 256
#define SONOTRACE_POLYGONS_MAX 5
#define SONOTRACE_ANSWERS_MAX 16
#define SONOTRACE_STAGES 6
#define SONOTRACE_RUNGS 4
#define SONOTRACE_OVERLAY_UPDATE 1 /* a further overlay of a frozen frame, after prompts changed its contours */
#define SONOTRACE_OVERLAY_GAP_BEFORE 2 /* frames are missing before this one, by its number or by its own flag */
#define SONOTRACE_OVERLAY_FROZEN 4 /* the image is frozen */
#define SONOTRACE_VALID_PIXELS 1 /* area_px2, centroid_px; contour_px always holds `points` points */
#define SONOTRACE_VALID_MILLIMETRES 2 /* contour_mm, area_mm2, perimeter_mm, both axes, centroid_mm: the scale is known */
#define SONOTRACE_VALID_AT_BORDER 4 /* the contour touches the border of the field of view or a sector's side: it may be cut off */
#define SONOTRACE_VALID_ELLIPSE 8 /* ellipse */
#define SONOTRACE_VALID_VOLUME 16 /* volume; never of a contour at the border, which is cut off */
#define SONOTRACE_VALID_BEAT 32 /* beat; only together with the volume */
#define SONOTRACE_VALID_ATTENTION 64 /* the user should check the contour: its state is attention, or was when it was computed, if it is stale now */

/* Kinds of events. The text of each names the meaning of `detail` and `value`. The detail of a dropped frame is a
 * sonotrace_drop_reason_e, its value one of SONOTRACE_FRAME_FIELD_. Superseded and frozen frames, and those of a close,
 * are counted without an event. */
#define SONOTRACE_EVENT_OPENED 1 /* session opened in {value} bytes */
#define SONOTRACE_EVENT_CLOSED 2 /* session ended after {value} overlays */
#define SONOTRACE_EVENT_GEOMETRY_CHANGED 3 /* geometry changed (epoch {detail}): a new sampling table is started */
#define SONOTRACE_EVENT_TABLE_READY 4 /* sampling table of geometry epoch {detail} is ready after {value} frames */
#define SONOTRACE_EVENT_FRAME_DROPPED 5 /* dropped, reason {detail}, field {value} */
#define SONOTRACE_EVENT_FRAMES_MISSING 6 /* {value} frames are missing before it */
#define SONOTRACE_EVENT_STREAM_RESTARTED 7 /* the stream restarted: its clock or sequence numbers went back */
#define SONOTRACE_EVENT_FROZEN 8 /* frozen */
#define SONOTRACE_EVENT_RESUMED 9 /* live again */
#define SONOTRACE_EVENT_PROMPT_ANSWERED 10 /* prompt {value} has outcome {detail} */
#define SONOTRACE_EVENT_OBJECT_LOST 11 /* object {detail} is lost */
#define SONOTRACE_EVENT_OBJECT_REPROJECTED 12 /* object {detail} is reprojected into the new geometry */
#define SONOTRACE_EVENT_DEADLINE_MISSED 13 /* overlay later than its budget by {value} ns */
#define SONOTRACE_EVENT_OVERLAYS_UNFETCHED 14 /* overlays are not fetched: {value} so far */
#define SONOTRACE_EVENT_BAD_COMMAND 15 /* a malformed command was ignored */
#define SONOTRACE_EVENT_NOT_FINITE 16 /* computed values are not finite (object {detail}, 0 for all): nothing is shown of them */
#define SONOTRACE_EVENT_FRAME_ABANDONED 17 /* its contours were given up: a newer frame has another geometry, or is far newer */

/* The field that made a frame unusable: of the descriptor, but for the first and the last. */
#define SONOTRACE_FRAME_FIELD_NONE 0
#define SONOTRACE_FRAME_FIELD_MAGIC 1
#define SONOTRACE_FRAME_FIELD_ABI_VERSION 2
#define SONOTRACE_FRAME_FIELD_DESCRIPTOR_BYTES 3
#define SONOTRACE_FRAME_FIELD_PAYLOAD_BYTES 4
#define SONOTRACE_FRAME_FIELD_FLAGS 5
#define SONOTRACE_FRAME_FIELD_DOMAIN 6
#define SONOTRACE_FRAME_FIELD_SAMPLE_TYPE 7
#define SONOTRACE_FRAME_FIELD_LINES 8
#define SONOTRACE_FRAME_FIELD_SAMPLES 9
#define SONOTRACE_FRAME_FIELD_STRIDE_BYTES 10
#define SONOTRACE_FRAME_FIELD_GEOMETRY 11
#define SONOTRACE_FRAME_FIELD_APEX_RADIUS_MM 12
#define SONOTRACE_FRAME_FIELD_FIRST_ANGLE_RAD 13
#define SONOTRACE_FRAME_FIELD_LAST_ANGLE_RAD 14
#define SONOTRACE_FRAME_FIELD_FIRST_DEPTH_MM 15
#define SONOTRACE_FRAME_FIELD_LAST_DEPTH_MM 16
#define SONOTRACE_FRAME_FIELD_LEFT_MM 17
#define SONOTRACE_FRAME_FIELD_RIGHT_MM 18
#define SONOTRACE_FRAME_FIELD_TOP_MM 19
#define SONOTRACE_FRAME_FIELD_SPACING_X_MM 20
#define SONOTRACE_FRAME_FIELD_SPACING_Y_MM 21
#define SONOTRACE_FRAME_FIELD_CONTENT 22
#define SONOTRACE_FRAME_FIELD_SPEED_OF_SOUND_M_S 23
#define SONOTRACE_FRAME_FIELD_AMPLITUDE_LAW 24
#define SONOTRACE_FRAME_FIELD_LAW_RANGE_DB 25
#define SONOTRACE_FRAME_FIELD_LAW_TABLE 26
#define SONOTRACE_FRAME_FIELD_GAIN_DB 27
#define SONOTRACE_FRAME_FIELD_FRAME_RATE_HZ 28
#define SONOTRACE_FRAME_FIELD_TGC 29
#define SONOTRACE_FRAME_FIELD_CRC32 30
#define SONOTRACE_FRAME_FIELD_DISPLAY 31

// A click.
#define SONOTRACE_PROMPT_CLICK 1

// A box around the object.
#define SONOTRACE_PROMPT_BOX 2

// Stop tracking this object.
#define SONOTRACE_PROMPT_REMOVE 3

// Points are in the probe's plane: millimetres, or source pixels where the scale is unknown.
#define SONOTRACE_SPACE_PLANE 1

// Points are sample (x) and line (y) of the frame; for a picture its column and row.
#define SONOTRACE_SPACE_LINE_SAMPLE 2

// Points are pixels of the declared display.
#define SONOTRACE_SPACE_DISPLAY 3

// Work on the newest queued frame. One that comes while another one is computed gets an overlay with the last contours, in time; where
// several wait, all but the newest are dropped and counted. For live scanning.
#define SONOTRACE_POLICY_NEWEST 1

// Work on every frame, in order. For replay.
#define SONOTRACE_POLICY_ALL 2

// Version of this header: of its structures, functions and constants.
#define SONOTRACE_ABI_VERSION 2

// Maximum number of amplitude tables.
#define SONOTRACE_VENDOR_TABLES_MAX 64

// Stack that a call of this library uses at most, in bytes. A thread needs as much beyond what its own code uses.
#define SONOTRACE_STACK_BYTES (32 * 1024)

// Bit of `sonotrace_thread_realtime`: the priority was refused.
#define SONOTRACE_REFUSED_PRIORITY 1

// Bit of `sonotrace_thread_realtime`: the core was refused.
#define SONOTRACE_REFUSED_CORE 2

// Result of a call.
enum sonotrace_status_e
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Success.
  SONOTRACE_STATUS_OK = 0,
  // Nothing is queued.
  SONOTRACE_STATUS_EMPTY = 1,
  // A pointer is null.
  SONOTRACE_STATUS_NULL_POINTER = 2,
  // The handle does not refer to an open session.
  SONOTRACE_STATUS_NOT_A_SESSION = 3,
  // A call on the same side of the session is in progress; for a close, a call on any side.
  SONOTRACE_STATUS_BUSY = 4,
  // A setting is invalid.
  SONOTRACE_STATUS_CONFIG = 5,
  // The model file is refused.
  SONOTRACE_STATUS_MODEL = 6,
  // The file cannot be opened.
  SONOTRACE_STATUS_FILE = 7,
  // The region is too small or misaligned.
  SONOTRACE_STATUS_REGION = 8,
  // The session cannot be opened with this model, or failed its self-test.
  SONOTRACE_STATUS_SESSION = 9,
  // A frame was committed without being acquired, or the session cannot use it.
  SONOTRACE_STATUS_FRAME = 10,
  // A prompt is invalid.
  SONOTRACE_STATUS_PROMPT = 11,
  // The queue of prompts is full: try again after a step.
  SONOTRACE_STATUS_FULL = 12,
  // The memory of a ring is damaged: a frame is longer than its slot, or something else writes into the region.
  SONOTRACE_STATUS_RING = 13,
  // A defect of this library ended the call. The session is poisoned.
  SONOTRACE_STATUS_PANIC = 14,
  // A defect ended an earlier call on this session: it can only be closed.
  SONOTRACE_STATUS_POISONED = 15,
  // The caller was compiled against the header of another version of this library.
  SONOTRACE_STATUS_VERSION = 16,
  // The system refused to lock memory or to provide pages.
  SONOTRACE_STATUS_MEMORY = 17,
  // The time of a call that waits is over.
  SONOTRACE_STATUS_TIMEOUT = 18,
  // The system refused a real-time priority or a core: the thread works on without it.
  SONOTRACE_STATUS_REALTIME = 19,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sonotrace_status_e sonotrace_status_e;
#else
typedef uint32_t sonotrace_status_e;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Result of one step.
enum sonotrace_step_e
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // There is no frame to work on.
  SONOTRACE_STEP_IDLE = 0,
  // A frame is in work: step again.
  SONOTRACE_STEP_WORKING = 1,
  // The frame was dropped, and counted.
  SONOTRACE_STEP_DROPPED = 2,
  // The frame's overlay was committed.
  SONOTRACE_STEP_OVERLAY = 3,
  // A further overlay of a frame that has one was committed: with newer contours.
  SONOTRACE_STEP_UPDATE = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sonotrace_step_e sonotrace_step_e;
#else
typedef uint32_t sonotrace_step_e;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Reason why a frame has no overlay.
enum sonotrace_drop_reason_e
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Replaced by a newer frame: evicted by the ring, or skipped because only the newest frame is processed.
  SONOTRACE_DROP_REASON_SUPERSEDED = 0,
  // Its descriptor or payload was refused.
  SONOTRACE_DROP_REASON_MALFORMED = 1,
  // Its sequence number or time was not later than a delivered frame's.
  SONOTRACE_DROP_REASON_OUT_OF_ORDER = 2,
  // The image was frozen.
  SONOTRACE_DROP_REASON_FROZEN = 3,
  // The session ended before the frame was processed.
  SONOTRACE_DROP_REASON_SHUT_DOWN = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sonotrace_drop_reason_e sonotrace_drop_reason_e;
#else
typedef uint32_t sonotrace_drop_reason_e;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What the samples are.
enum sonotrace_domain_e
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Envelope per scan line and depth sample, before scan conversion.
  SONOTRACE_DOMAIN_POLAR_ENVELOPE = 1,
  // In-phase and quadrature pairs per scan line and depth sample, before envelope detection. Full scale is an
  // envelope of 32767.
  SONOTRACE_DOMAIN_POLAR_IQ = 2,
  // Raw radio-frequency samples: not supported, and refused with their own error.
  SONOTRACE_DOMAIN_POLAR_RF = 3,
  // A picture, already scan-converted.
  SONOTRACE_DOMAIN_SCAN_CONVERTED = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sonotrace_domain_e sonotrace_domain_e;
#else
typedef uint32_t sonotrace_domain_e;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Type of one stored sample, little-endian.
enum sonotrace_sample_type_e
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Unsigned byte.
  SONOTRACE_SAMPLE_TYPE_U8 = 1,
  // Signed 16-bit integer, the type of radio-frequency samples. No supported domain has it. A front end can use it
  // to describe a radio-frequency frame, which is refused with its own error.
  SONOTRACE_SAMPLE_TYPE_I16 = 2,
  // Pair of signed 16-bit integers, in-phase first.
  SONOTRACE_SAMPLE_TYPE_I16_PAIR = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sonotrace_sample_type_e sonotrace_sample_type_e;
#else
typedef uint32_t sonotrace_sample_type_e;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Shape of the scanned field.
enum sonotrace_geometry_e
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Parallel lines, `left_mm` to `right_mm`.
  SONOTRACE_GEOMETRY_LINEAR = 1,
  // Lines that fan out from behind the probe's curved face.
  SONOTRACE_GEOMETRY_CONVEX = 2,
  // Lines that fan out from (nearly) one point.
  SONOTRACE_GEOMETRY_PHASED = 3,
  // A picture with known pixel spacing.
  SONOTRACE_GEOMETRY_RASTER = 4,
  // A picture of unknown scale: contours are given in pixels, never in millimetres.
  SONOTRACE_GEOMETRY_RASTER_UNKNOWN = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sonotrace_geometry_e sonotrace_geometry_e;
#else
typedef uint32_t sonotrace_geometry_e;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// State of an overlay or of an object on it. A stale contour is never marked as a fresh one.
enum sonotrace_state_e
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // No object is followed.
  SONOTRACE_STATE_EMPTY = 0,
  // Made from a prompt on this frame.
  SONOTRACE_STATE_FRESH = 1,
  // Propagated to this frame by the tracker.
  SONOTRACE_STATE_TRACKED = 2,
  // Propagated with low confidence: the user should check it.
  SONOTRACE_STATE_ATTENTION = 3,
  // The object is most likely not in the field of view: it has no contour, and is searched for on every frame.
  SONOTRACE_STATE_ABSENT = 4,
  // The contour of an earlier frame.
  SONOTRACE_STATE_STALE = 5,
  // The object is not found, although it is not said to be absent: it has no contour, and is searched for on every frame.
  SONOTRACE_STATE_LOST = 6,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sonotrace_state_e sonotrace_state_e;
#else
typedef uint32_t sonotrace_state_e;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// How much was computed for an overlay; 0 is the most.
enum sonotrace_rung_e
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // The encoder, the tracker, and the decoder for as many objects as are checked on a frame and as there was time for.
  SONOTRACE_RUNG_FULL = 0,
  // The encoder and the tracker: there was no time to check an object.
  SONOTRACE_RUNG_TRACKED = 1,
  // The frame takes longer than its budget: this overlay repeats the last contours, marked stale. Its own come with a later overlay.
  SONOTRACE_RUNG_SPREAD = 2,
  // No computation: the last contours are repeated, marked stale.
  SONOTRACE_RUNG_REPEAT = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sonotrace_rung_e sonotrace_rung_e;
#else
typedef uint32_t sonotrace_rung_e;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// The outcome of a prompt.
enum sonotrace_prompt_outcome_e
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // The prompt was served.
  SONOTRACE_PROMPT_OUTCOME_SERVED = 1,
  // Its frame is older than all frames whose features are kept.
  SONOTRACE_PROMPT_OUTCOME_TOO_OLD = 2,
  // It points outside the rectangle of the field of view, or its box has no extent.
  SONOTRACE_PROMPT_OUTCOME_OUTSIDE_FIELD = 3,
  // There are as many objects as possible: remove one first.
  SONOTRACE_PROMPT_OUTCOME_NO_ROOM = 4,
  // It removes or corrects an object that does not exist.
  SONOTRACE_PROMPT_OUTCOME_UNKNOWN_OBJECT = 5,
  // Its frame has not been committed yet.
  SONOTRACE_PROMPT_OUTCOME_FUTURE_FRAME = 6,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sonotrace_prompt_outcome_e sonotrace_prompt_outcome_e;
#else
typedef uint32_t sonotrace_prompt_outcome_e;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// A session, opaque to C. It lies at the start of the caller's region.
typedef struct sonotrace_session_t sonotrace_session_t;

// A mapped model file, opaque to C.
typedef struct sonotrace_model_t sonotrace_model_t;

// A prompt of the user.
typedef struct {
  // `SONOTRACE_PROMPT_CLICK`, `_BOX` or `_REMOVE`.
  uint32_t kind;
  // The device's number for the object, from 1. A new number starts a new object; a known number corrects that
  // object.
  uint32_t object;
  // Sequence number of the frame that was on the screen; 0 for the next frame (on a frozen image: the one shown).
  uint64_t seq;
  // `SONOTRACE_SPACE_PLANE`, `_LINE_SAMPLE` or `_DISPLAY`. Not used for a removal.
  uint32_t space;
  // For a click: 1 on the object, 0 outside it.
  uint32_t is_positive;
  // Position of a click, or one corner of a box: x, y. A click and the middle of a box must lie in the field of view.
  float from[2];
  // The opposite corner of a box: x, y.
  float to[2];
} sonotrace_prompt_t;

// A session's settings: start from `sonotrace_config_default`. They are copied when a session is opened, and fixed until
// it is closed.
//
// The first seven fields are the sizes and the version that the caller was compiled with. `sonotrace_config_default` sets
// them; do not change them. If they do not fit this library, no session is opened (`SONOTRACE_STATUS_VERSION`). A
// configuration may be shorter than the library's, as that of an older header is: fields that it lacks keep their
// defaults.
typedef struct {
  // Size of this structure.
  uint32_t config_bytes;
  // `SONOTRACE_ABI_VERSION`.
  uint32_t abi_version;
  // Size of `sonotrace_frame_descriptor_t`.
  uint32_t descriptor_bytes;
  // Size of `sonotrace_frame_slot_t`.
  uint32_t frame_slot_bytes;
  // Size of `sonotrace_prompt_t`.
  uint32_t prompt_bytes;
  // Size of `sonotrace_overlay_t`.
  uint32_t overlay_bytes;
  // Size of `sonotrace_event_t`.
  uint32_t event_bytes;
  // `SONOTRACE_POLICY_NEWEST` or `SONOTRACE_POLICY_ALL`.
  uint32_t policy;
  // Time from a frame's commit to its overlay's commit, 1 ns to 1000 s. A later overlay is a deadline miss.
  uint64_t budget_ns;
  // Time that one step computes, 1 ns to 1000 s. A step may take up to one piece of work longer (see `now_ns`).
  uint64_t slice_ns;
  // Frames whose features are kept, so that prompts on them can be served: 1 to 64.
  uint32_t kept_frames;
  // Rows of a new geometry's sampling table that are computed per frame, at least 1. Until the table is complete, frames
  // repeat the last contours, marked stale.
  uint32_t table_rows_per_frame;
  // Width of the display, in whose pixels contours are reported, up to 16384. If width and height are 0: the picture's
  // own pixels; polar frames are refused then.
  uint32_t display_width;
  // Height of the display, up to 16384.
  uint32_t display_height;
  // Confidence below which an object's state is attention, 0 to 1; 0 for the model's own threshold.
  float attention_below;
  // Probability of being out of sight from which on an object's state is absent, 0.01 to 1.
  float absent_from;
  // Capacity of the queue of frames, 1 to 1024.
  uint32_t frames_queued;
  // Capacity of the queue of overlays, 1 to 1024.
  uint32_t overlays_queued;
  // Capacity of the queue of prompts, 1 to 1024.
  uint32_t commands_queued;
  // Capacity of the queue of events, 1 to 1024.
  uint32_t events_queued;
  // Largest payload of a frame, in bytes.
  uint64_t payload_bytes;
  // Amplitude tables that frames may name, 256 bytes each, one after the other; copied when the session is opened.
  const uint8_t *vendor_tables;
  // Number of amplitude tables in `vendor_tables`.
  uint32_t vendor_table_count;
  // Objects that the segmenter redraws and checks on each frame, in turn, 0 to 10. The others keep the tracker's contour, and their
  // confidence ages.
  uint32_t checks_per_frame;
  // 1: a lost object that is checked is shown as the segmenter draws it, which is more precise when it comes back. 0: as a mean of
  // the segmenter's mask and the tracker's.
  uint32_t correct_lost;
  // 0.
  uint32_t reserved;
  // The clock, in nanoseconds from an arbitrary start. It must not go backwards. Null for the system's monotonic
  // clock, which then counts from the session's opening. Called from the threads that open, step, commit frames and
  // close, also at the same time: once by a commit, by a step a few times and after each piece of work (a tile of an
  // operation, 32 KiB of a checksum, some 4096 pixels: some hundred to some thousand times a frame), by no other call
  // during a scan. It should take less than a microsecond, and it may not wait. Calls on the session from within it
  // return `SONOTRACE_STATUS_BUSY` for the side in use and for a close.
  uint64_t (*now_ns)(void *user);
  // Argument of `now_ns`.
  void *clock_user;
} sonotrace_config_t;

// One point of the time-gain-compensation curve.
typedef struct {
  // Depth along the line.
  float depth_mm;
  // Gain at that depth, -200 to 200.
  float gain_db;
} sonotrace_tgc_point_t;

// The descriptor as it is stored in a slot. Plain data: nothing in it is believed before it is checked.
//
// Positions and depths are at most 1000 mm. Fields that the geometry does not use are ignored.
typedef struct {
  // `SNTF` in memory order.
  uint32_t magic;
  // SONOTRACE_FRAME_ABI_VERSION.
  uint16_t abi_version;
  // Size of this structure in bytes.
  uint16_t descriptor_bytes;
  // Bytes of payload that follow the descriptor.
  uint32_t payload_bytes;
  // Bits of SONOTRACE_FRAME_.
  uint32_t flags;
  // Sequence number given by the front end, from 1.
  uint64_t seq;
  // When the frame was acquired, on the clock `clock_id`.
  uint64_t t_acq_ns;
  // When it was queued in the ring, on the runtime's clock: its latency and its budget count from then. 0 if that is not known;
  // they count from the time when the session takes it then.
  uint64_t t_enqueue_ns;
  // The clock of `t_acq_ns`; 0 is the runtime's own.
  uint32_t clock_id;
  // Counter that changes with the geometry.
  uint32_t geometry_epoch;
  // A sonotrace_domain_e.
  uint32_t domain;
  // A sonotrace_sample_type_e.
  uint32_t sample_type;
  // Scan lines, or image rows: at least 2.
  uint32_t lines;
  // Samples per line, or pixels per row: at least 2.
  uint32_t samples;
  // Bytes from one line (row) to the next; the last one may end with its last sample.
  uint32_t stride_bytes;
  // A sonotrace_geometry_e.
  uint32_t geometry;
  // Distance from the lines' common apex to the probe's face (convex: at least 0.1; phased).
  float apex_radius_mm;
  // Direction of the first line, from the probe's axis, positive to the right, at most a quarter turn.
  float first_angle_rad;
  // Direction of the last line: greater.
  float last_angle_rad;
  // Depth below the face of the first sample's centre.
  float first_depth_mm;
  // Depth below the face of the last sample's centre: at least 0.1 more.
  float last_depth_mm;
  // Lateral position of the first line (linear), or the centre of the left-most pixel column (raster).
  float left_mm;
  // Lateral position of the last line (linear): at least 0.1 more.
  float right_mm;
  // Depth of the centre of the top-most pixel row (raster).
  float top_mm;
  // Pixel pitch across (raster), 0.0001 to 10.
  float spacing_x_mm;
  // Pixel pitch down (raster), 0.0001 to 10.
  float spacing_y_mm;
  // First column that shows the scan (raster). Pixels outside the content are border and ignored.
  uint32_t content_column;
  // First row that shows the scan (raster).
  uint32_t content_row;
  // Number of columns that show the scan (raster), at least 2. All four content fields are 0 if the whole picture does, and
  // of polar frames.
  uint32_t content_columns;
  // Number of rows that show the scan (raster), at least 2.
  uint32_t content_rows;
  // Speed of sound that depths are computed with (not raster), 300 to 8000.
  float speed_of_sound_m_s;
  // One of SONOTRACE_LAW_.
  uint32_t amplitude_law;
  // Dynamic range of the first two laws, 1 to 200.
  float law_range_db;
  // Table of the third law.
  uint32_t law_table;
  // Overall gain, -200 to 200.
  float gain_db;
  // Frames per second, up to 10000; 0 if unknown.
  float frame_rate_hz;
  // Number of valid points of `tgc`, which are in order of depth.
  uint32_t tgc_points;
  // CRC-32 (IEEE) of the payload if SONOTRACE_FRAME_CRC_PRESENT.
  uint32_t crc32;
  // Time-gain compensation, [`TGC_POINTS`] points.
  sonotrace_tgc_point_t tgc[8];
} sonotrace_frame_descriptor_t;

// A slot to fill with a frame.
typedef struct {
  // The descriptor. It still describes the slot's last frame: start from `sonotrace_frame_descriptor_init`.
  sonotrace_frame_descriptor_t *descriptor;
  // Room for the samples, on a multiple of 64 bytes.
  uint8_t *payload;
  // Size of that room in bytes: the configuration's `payload_bytes`.
  size_t payload_capacity;
} sonotrace_frame_slot_t;

// The reply to one prompt.
typedef struct {
  // The ticket that the prompt got when it was queued.
  uint32_t ticket;
  // The prompt's object.
  uint32_t object;
  // A sonotrace_prompt_outcome_e.
  uint32_t outcome;
  // Zero.
  uint32_t reserved;
  // Sequence number of the frame on which it was served: its own, or the nearest one that was computed. 0 if it was not served.
  uint64_t seq;
  // Time of acquisition of that frame minus that of the prompt's own, which is estimated for a frame that was not computed.
  int64_t offset_ns;
} sonotrace_prompt_answer_t;

// An ellipse in the probe's plane.
typedef struct {
  // Its centre.
  float centre_mm[2];
  // Half of its longest diameter.
  float semi_major_mm;
  // Half of its shortest diameter.
  float semi_minor_mm;
  // Direction of the longest diameter, from the x axis towards the y axis (clockwise on the display), in
  // `-pi/2..=pi/2`.
  float angle_rad;
  // Circumference (Ramanujan 1914, second formula).
  float circumference_mm;
} sonotrace_ellipse_t;

// Volume of the body of revolution about the long axis of an outline, for a heart's chamber in an apical view. From one plane: wrong
// where the chamber is not round across its axis, and too small where the view is foreshortened.
typedef struct {
  // By the method of discs: `pi / 4 * sum(d * d) * length / 20` over 20 discs across the long axis (modified Simpson's rule; Lang
  // et al., JASE 2015;28:1-39).
  float discs_ml;
  // By the area-length method: `8 * area * area / (3 * pi * length)` (the same guideline).
  float area_length_ml;
  // Extent of the outline along the long axis, which has the direction of the fitted ellipse's longest diameter.
  float length_mm;
  // Ends of the long axis: it passes through the centroid of the outline's area.
  float axis_mm[2][2];
} sonotrace_volume_t;

// The largest and the smallest volume over the last whole beat, from the end of a diastole to the next one. Valid only after three
// consecutive beats of about the same duration, volumes and shape, on frames whose contour is fresh or tracked.
typedef struct {
  // Volume by discs at the end of the diastole that the beat begins with: of a parabola through the volumes around it.
  float largest_ml;
  // Volume by discs at the end of systole, in the same way.
  float smallest_ml;
  // `(largest_ml - smallest_ml) / largest_ml`, 0 to 1.
  float ejection_fraction;
  // Beats a minute, from the duration of this beat.
  float rate_per_min;
  // Acquisition time of the frame that is nearest to the largest volume.
  uint64_t largest_t_ns;
  // Acquisition time of the frame that is nearest to the smallest volume.
  uint64_t smallest_t_ns;
} sonotrace_beat_t;

// One object on an overlay.
typedef struct {
  // The device's number for the object, from 1.
  uint32_t id;
  // A sonotrace_state_e.
  uint32_t state;
  // Bits of SONOTRACE_VALID_.
  uint32_t valid;
  // Points of the contour, all polygons together.
  uint32_t points;
  // Polygons of the contour: the outline, then the holes.
  uint32_t polygons;
  // Points of each polygon; their points follow one another in `contour_px` and `contour_mm`.
  uint32_t polygon_points[SONOTRACE_POLYGONS_MAX];
  // Probability that the contour is right, 0 to 1: that its Dice with the truth is 0.90 or more. Of a contour made from a prompt,
  // the decoder's estimate of its IoU.
  float confidence;
  // Frames since the segmenter last checked the object, on which the confidence rests.
  uint32_t checked_frames_ago;
  // Area in display pixels, without holes.
  float area_px2;
  // Area without holes.
  float area_mm2;
  // Length of the outline.
  float perimeter_mm;
  // Longest distance between two points of the outline.
  float long_axis_mm;
  // Extent of the outline across its long axis.
  float short_axis_mm;
  // Centroid of the area, display pixels.
  float centroid_px[2];
  // Centroid of the area, probe millimetres.
  float centroid_mm[2];
  // The ellipse with the area moments of the outline.
  sonotrace_ellipse_t ellipse;
  // Volume of the body of revolution about the outline's long axis, without regard to holes.
  sonotrace_volume_t volume;
  // Largest and smallest volume over the last whole beat.
  sonotrace_beat_t beat;
  // The contour in display pixels: closed polygons, whose last point joins the first. Seen on the display, the outline runs
  // clockwise and holes run anticlockwise.
  float contour_px[SONOTRACE_CONTOUR_POINTS_MAX][2];
  // The contour in probe millimetres: the same points.
  float contour_mm[SONOTRACE_CONTOUR_POINTS_MAX][2];
} sonotrace_overlay_object_t;

// The result for one frame.
typedef struct {
  // `SNTO` in memory order.
  uint32_t magic;
  // SONOTRACE_OVERLAY_ABI_VERSION.
  uint32_t abi_version;
  // Sequence number of the frame.
  uint64_t seq;
  // Acquisition time of the frame, on its own clock.
  uint64_t t_acq_ns;
  // Time from the commit of the frame to the commit of this overlay. Of a further overlay of a frozen frame, from the step
  // that served its prompts.
  uint64_t latency_ns;
  // Time from the commit of the frame that the contours were computed on to the commit of this overlay. The same as
  // `latency_ns` if they were computed on this frame and it is not frozen.
  uint64_t age_ns;
  // Time spent in each stage, in order: queue, sample, encode, track, decode, contour.
  uint64_t stage_ns[SONOTRACE_STAGES];
  // Counts steps of the session, so that a watchdog can check that it runs.
  uint64_t heartbeat;
  // A sonotrace_state_e: the worst of the objects'.
  uint32_t state;
  // A sonotrace_rung_e.
  uint32_t rung;
  // The frame's geometry epoch.
  uint32_t geometry_epoch;
  // Valid entries of `objects`.
  uint32_t object_count;
  // Bits of SONOTRACE_OVERLAY_.
  uint32_t flags;
  // Valid entries of `answers`.
  uint32_t answer_count;
  // Replies to prompts: those since the last overlay, and those of overlays that were evicted before they were fetched.
  sonotrace_prompt_answer_t answers[SONOTRACE_ANSWERS_MAX];
  // The objects.
  sonotrace_overlay_object_t objects[SONOTRACE_OBJECTS_MAX];
} sonotrace_overlay_t;

// One event: 32 bytes, plain data.
typedef struct {
  // Time on the runtime's clock.
  uint64_t t_ns;
  // Sequence number of its frame; 0 for none.
  uint64_t seq;
  // An SONOTRACE_EVENT_.
  uint32_t kind;
  // A number whose meaning depends on the kind.
  uint32_t detail;
  // A second number whose meaning depends on the kind.
  uint64_t value;
} sonotrace_event_t;

// Totals since a session was opened, all as of the last step. Frames committed = `overlays` + all `dropped_` + frames that
// are queued or in work; a frame that a commit evicts is counted by the next step. New fields of later versions are added at
// the end.
typedef struct {
  // Overlays committed, one per frame.
  uint64_t overlays;
  // Frames superseded by a newer one.
  uint64_t dropped_superseded;
  // Frames that were refused when a step took them; `malformed_by_field` says why.
  uint64_t dropped_malformed;
  // Frames not newer than a delivered one.
  uint64_t dropped_out_of_order;
  // Frames that arrived while the image was frozen.
  uint64_t dropped_frozen;
  // Frames still queued or in work when the session was closed.
  uint64_t dropped_shut_down;
  // Overlays evicted before they were fetched.
  uint64_t overlays_unfetched;
  // Overlays later than the budget.
  uint64_t deadline_misses;
  // Part of `overlays`: those that repeat contours of an earlier frame, marked stale.
  uint64_t repeats;
  // Further overlays of a frame that has one.
  uint64_t updates;
  // Frames that never arrived: gaps in the sequence numbers.
  uint64_t frames_missing;
  // Restarts of the stream.
  uint64_t restarts;
  // Changes of geometry.
  uint64_t geometry_changes;
  // Prompts served.
  uint64_t prompts_served;
  // Prompts whose frame's features were no longer kept.
  uint64_t prompts_too_old;
  // Prompts that could not be served for another reason.
  uint64_t prompts_refused;
  // Prompts still unanswered when the session was closed.
  uint64_t prompts_unanswered;
  // Invalid commands.
  uint64_t bad_commands;
  // Steps so far. A watchdog can check that it grows.
  uint64_t heartbeat;
  // Events that were evicted before they were fetched.
  uint64_t events_lost;
  // Commits refused with `SONOTRACE_STATUS_FRAME`, as of the call; those frames are in no other counter.
  uint64_t frames_refused;
  // `dropped_malformed` by the field that is wrong: index `SONOTRACE_FRAME_FIELD_`.
  uint64_t malformed_by_field[SONOTRACE_FRAME_FIELDS];
  // Replies to prompts that no fetched overlay had when the session was closed; 0 until then.
  uint64_t answers_undelivered;
  // `overlays` by how much was computed for them: index `SONOTRACE_RUNG_`.
  uint64_t overlays_by_rung[SONOTRACE_RUNGS];
  // Frames with an overlay whose own contours were given up: a newer frame has another geometry, or is far newer.
  uint64_t frames_abandoned;
} sonotrace_counters_t;

// All reasons, in the order of their wire values.
#define sonotrace_drop_reason_e_ALL { sonotrace_drop_reason_e_Superseded, sonotrace_drop_reason_e_Malformed, sonotrace_drop_reason_e_OutOfOrder, sonotrace_drop_reason_e_Frozen, sonotrace_drop_reason_e_ShutDown, }

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The library's version, `major.minor.patch`, as static NUL-terminated ASCII.
const char *sonotrace_version(void);

// The library's `SONOTRACE_ABI_VERSION`; a caller compares it with that of its header.
uint32_t sonotrace_abi_version(void);

// Queues a prompt. `ticket`, which may be null, receives the prompt's number, from 1; 0 after a failure. Exactly one
// fetched overlay replies to the prompt, with the same number. User's side.
//
// Returns `SONOTRACE_STATUS_PROMPT` if no session could serve it: an unknown kind or space, object 0, coordinates that are
// not finite. Returns `SONOTRACE_STATUS_FULL` if `commands_queued` prompts and calls of `sonotrace_set_frozen` wait for a
// step.
//
// # Safety
// `session` comes from `sonotrace_open`; `prompt` is null or points to one, `ticket` is null or points to room for
// a number.
sonotrace_status_e sonotrace_prompt(sonotrace_session_t *session,
                                    const sonotrace_prompt_t *prompt,
                                    uint32_t *ticket);

// Reports that the image is frozen (1) or live again (0). Frames that arrive while it is frozen are dropped and
// counted; prompts are served on the frame that is shown. User's side. Returns `SONOTRACE_STATUS_FULL` as
// `sonotrace_prompt` does, and `SONOTRACE_STATUS_CONFIG` for any other number.
//
// # Safety
// `session` comes from `sonotrace_open`.
sonotrace_status_e sonotrace_set_frozen(sonotrace_session_t *session,
                                        uint32_t is_frozen);

// Writes the settings for live scanning, as far as the caller's structure reaches. Called by
// `sonotrace_config_default` of the header, with the size and the version of that header. Returns
// `SONOTRACE_STATUS_VERSION`, and an empty configuration, if they do not fit this library. Any thread may call it.
//
// # Safety
// `config` is null or points to room for `config_bytes` bytes, aligned for a `sonotrace_config_t`.
sonotrace_status_e sonotrace_config_sized(sonotrace_config_t *config,
                                          uint32_t config_bytes,
                                          uint32_t abi_version);

// Sets magic and version of a descriptor and the size that the caller's header gives it, and zeroes the rest. Called
// by `sonotrace_frame_descriptor_init` of the header. Any thread may call it.
//
// # Safety
// `descriptor` is null or points to room for `descriptor_bytes` bytes.
sonotrace_status_e sonotrace_frame_descriptor_sized(sonotrace_frame_descriptor_t *descriptor,
                                                    size_t descriptor_bytes);

// Checks a descriptor by the rules for all sessions. (A commit also checks it against its session: the slot's size,
// the amplitude tables, the display.) Returns `SONOTRACE_STATUS_FRAME` if a field is invalid; the last error's text
// names the field. Any thread may call it.
//
// # Safety
// `descriptor` is null or points to one.
sonotrace_status_e sonotrace_frame_descriptor_check(const sonotrace_frame_descriptor_t *descriptor);

// Acquires the slot to fill next. Never waits. Acquisition's side. The slot is the caller's until it is committed;
// until then, each acquire returns the same slot. After a failure all fields of `slot` are null or 0.
//
// # Safety
// `session` comes from `sonotrace_open`; `slot` is null or points to room for one.
sonotrace_status_e sonotrace_frame_acquire(sonotrace_session_t *session,
                                           sonotrace_frame_slot_t *slot);

// Queues the acquired frame and sets its `t_enqueue_ns` from the session's clock, with one call of it. Never waits:
// if the queue is full, its oldest frame is evicted and counted, and `evicted`, which may be null, receives 1 (else 0).
// Acquisition's side.
//
// A frame that the session cannot use is refused with `SONOTRACE_STATUS_FRAME`; the last error's text names the field,
// the limit and the value, and `frames_refused` counts it. The slot stays acquired: correct the descriptor and commit
// again, or fill the slot with the next frame. Only the samples' checksum is checked later, by the step that takes the
// frame. If samples were written past `payload_capacity`, the call returns `SONOTRACE_STATUS_RING`, and from then on the
// session accepts no frames: memory behind them may be damaged.
//
// # Safety
// `session` comes from `sonotrace_open`; `evicted` is null or points to room for a number.
sonotrace_status_e sonotrace_frame_commit(sonotrace_session_t *session,
                                          uint32_t *evicted);

// Locks the pages of some memory, and provides each of them, so that they cause no page fault from now on. For the
// region of a session, for `sonotrace_model_data`, for the caller's own buffers. The memory's content does not change.
//
// Returns `SONOTRACE_STATUS_MEMORY` if the system does not allow to lock it (`RLIMIT_MEMLOCK`, `CAP_IPC_LOCK`): all pages
// are present nevertheless, but the system may take them away when memory is short. Any thread may call it.
//
// # Safety
// `start` is null or points to `bytes` bytes that can be read.
sonotrace_status_e sonotrace_memory_lock(const void *start,
                                         size_t bytes);

// Prepares the calling thread for a scan: provides and locks `stack_bytes` of its stack below the caller's frame, at
// least `SONOTRACE_STACK_BYTES`, and the room for its error texts. Call it on each thread that calls this library, before
// its loop.
//
// Returns `SONOTRACE_STATUS_CONFIG` if the thread's stack is too small for that, and `SONOTRACE_STATUS_MEMORY` as
// `sonotrace_memory_lock` does.
sonotrace_status_e sonotrace_thread_prepare(size_t stack_bytes);

// Gives the calling thread `SCHED_FIFO` with a priority of 1 to 99, or leaves its policy as it is with 0, and pins it to a core, or
// leaves its cores as they are with a negative number. For the rest of the thread's life, before its loop. Threads that compute for one
// session must have the same priority, and a core each; the thread that commits frames a higher one. Interrupts that deliver frames
// are at 50 with PREEMPT_RT: 40 is a good choice for the worker.
//
// Returns `SONOTRACE_STATUS_REALTIME` if the system refused something. Then `refused`, which may be null, receives the
// `SONOTRACE_REFUSED_` bits, the last error says how to obtain it, and the thread has what was granted. Returns
// `SONOTRACE_STATUS_CONFIG`, and changes nothing, for another priority. Call `sonotrace_thread_prepare` too: it provides the thread's
// stack.
//
// # Safety
// `refused` is null or points to room for a number.
sonotrace_status_e sonotrace_thread_realtime(uint32_t priority,
                                             int32_t core,
                                             uint32_t *refused);

// Provides every page of the program's and its libraries' code, constants and variables, so that code that runs for the
// first time in the middle of a scan causes no page fault. Call it once, after all libraries are loaded. Returns
// `SONOTRACE_STATUS_MEMORY` if the system cannot do it (Linux before 5.14).
sonotrace_status_e sonotrace_program_prefault(void);

// Maps a model file read-only, so that no process can change or truncate it while it is used. Call it before scanning:
// it reads the file and allocates. Any number of sessions may share a model, and any thread may call this. Anything but
// a regular file is refused at once. `model` receives null after a failure. The bytes stay where they are until
// `sonotrace_model_unmap`. Returns `SONOTRACE_STATUS_FILE` if the file cannot be mapped; its content is only looked at by
// `sonotrace_open`.
//
// # Safety
// `path` is null or NUL-terminated; `model` is null or points to room for a pointer.
sonotrace_status_e sonotrace_model_map(const char *path,
                                       sonotrace_model_t **model);

// The first byte of a mapped model; null for null.
//
// # Safety
// `model` is null or was made by `sonotrace_model_map` and not unmapped since.
const uint8_t *sonotrace_model_data(const sonotrace_model_t *model);

// Bytes of a mapped model; 0 for null.
//
// # Safety
// As `sonotrace_model_data`.
size_t sonotrace_model_bytes(const sonotrace_model_t *model);

// Unmaps a model. Null is allowed.
//
// # Safety
// `model` is null or was made by `sonotrace_model_map`; no session uses it any more, and it is unmapped once.
void sonotrace_model_unmap(sonotrace_model_t *model);

// The next overlay, oldest first: `overlay` receives a pointer to it that is valid until the next `sonotrace_overlay_poll` or
// `sonotrace_overlay_wait`, or the close; null after a failure. Display's side. Returns `SONOTRACE_STATUS_EMPTY` if there is
// none. An overlay that is evicted before it is fetched is counted; its replies to prompts go to a later overlay.
//
// # Safety
// `session` comes from `sonotrace_open`; `overlay` is null or points to room for a pointer.
sonotrace_status_e sonotrace_overlay_poll(sonotrace_session_t *session,
                                          const sonotrace_overlay_t **overlay);

// As `sonotrace_overlay_poll`, but waits up to `timeout_ns` until there is an overlay. Display's side. Returns
// `SONOTRACE_STATUS_TIMEOUT` if none came; a time of 0 does not wait. The thread sleeps meanwhile, and a step wakes it. A step never
// waits for it. Until the call returns, `sonotrace_close` returns `SONOTRACE_STATUS_BUSY`.
//
// # Safety
// `session` comes from `sonotrace_open`; `overlay` is null or points to room for a pointer.
sonotrace_status_e sonotrace_overlay_wait(sonotrace_session_t *session,
                                          uint64_t timeout_ns,
                                          const sonotrace_overlay_t **overlay);

// The next event, oldest first; all fields are 0 after a failure. Log's side. Returns `SONOTRACE_STATUS_EMPTY` if
// there is none. If the queue is full, its oldest event is evicted and counted in `events_lost`.
//
// # Safety
// `session` comes from `sonotrace_open`; `event` is null or points to room for one.
sonotrace_status_e sonotrace_event_next(sonotrace_session_t *session,
                                        sonotrace_event_t *event);

// Writes an event as one line of NUL-terminated text, truncated to `text_bytes` (at least 1); empty after a failure.
// Any thread may call it.
//
// # Safety
// `event` is null or points to one, `text` is null or points to room for `text_bytes` bytes.
sonotrace_status_e sonotrace_event_text(const sonotrace_event_t *event,
                                        char *text,
                                        size_t text_bytes);

// Computes the memory that a session needs, in bytes, and the alignment of its start; 0 after a failure. The model's first
// 4096 bytes suffice. The model itself and thread stacks are not included. Any thread may call it.
//
// Refuses every setting that `sonotrace_open` refuses, with the same status: `SONOTRACE_STATUS_VERSION` for another header,
// `SONOTRACE_STATUS_CONFIG`. Returns `SONOTRACE_STATUS_MODEL` if the bytes are no model's.
//
// # Safety
// Each pointer is null or valid for what its name says: `model_bytes` bytes, one configuration with its tables, room
// for a `size_t` each.
sonotrace_status_e sonotrace_memory_required(const uint8_t *model,
                                             size_t model_bytes,
                                             const sonotrace_config_t *config,
                                             size_t *bytes,
                                             size_t *align);

// Opens a session in `region`: verifies the model, lays out the memory, and runs each program once as a self-test. No
// later call on the session allocates. Writes to every page of the region, so that none is missing later; to keep them
// present, lock the region (`sonotrace_memory_lock`). The session uses the region, the model and the clock until it is
// closed; the configuration and its tables are copied. `session` receives null after a failure. The region's content
// before does not matter, and it may not move.
//
// Returns, besides what `sonotrace_memory_required` returns: `SONOTRACE_STATUS_REGION`, after which the region is as it was;
// `SONOTRACE_STATUS_MODEL` if the model is damaged; `SONOTRACE_STATUS_SESSION` if its programs are not those of a session or
// fail their self-test. After these two the region's content is arbitrary.
//
// # Safety
// Each pointer is null or valid for what its name says; nothing else uses the `region_bytes` bytes at `region` until
// the session is closed, and the model does not change until then.
sonotrace_status_e sonotrace_open(const uint8_t *model,
                                  size_t model_bytes,
                                  const sonotrace_config_t *config,
                                  uint8_t *region,
                                  size_t region_bytes,
                                  sonotrace_session_t **session);

// Continues the frame in work, or takes the next one, for one slice. Never waits. Worker's side: the only call that
// computes. `step` and `seq` (the frame's sequence number, or 0) may be null; they receive 0 after a failure.
//
// # Safety
// `session` comes from `sonotrace_open`; `step` and `seq` are null or point to room for their values.
sonotrace_status_e sonotrace_step(sonotrace_session_t *session,
                                  sonotrace_step_e *step,
                                  uint64_t *seq);

// Reads the totals as of the last step, as far as the caller's structure reaches; 0 after a failure. Any thread may call
// it. Called by `sonotrace_counters` of the header, with the size of its structure. Returns `SONOTRACE_STATUS_BUSY` if steps
// end faster than the totals can be read: call it again.
//
// # Safety
// `session` comes from `sonotrace_open`; `counters` is null or points to room for `counters_bytes` bytes.
sonotrace_status_e sonotrace_counters_sized(const sonotrace_session_t *session,
                                            sonotrace_counters_t *counters,
                                            size_t counters_bytes);

// Closes a session: frames that are queued or in work are counted in `dropped_shut_down`. Events that were not fetched are
// gone, among them `SONOTRACE_EVENT_CLOSED`. The region and the model are the caller's again, and the handle is no longer
// valid: until the region is used for something else, calls with it return `SONOTRACE_STATUS_NOT_A_SESSION`. `counters`,
// if not null, receives the final totals, as far as the caller's structure reaches; 0 if the session stays open. Called by
// `sonotrace_close` of the header, with the size of its structure.
//
// Returns `SONOTRACE_STATUS_BUSY`, and leaves the session open, while any other call on it is in progress, also from
// within the caller's clock. A poisoned session is closed: the call returns `SONOTRACE_STATUS_POISONED`, and the totals
// are those of the last step. So is one whose rings are damaged (`SONOTRACE_STATUS_RING`).
//
// # Safety
// `session` comes from `sonotrace_open`, and no thread begins a call on it from now on; `counters` is null or points to
// room for `counters_bytes` bytes.
sonotrace_status_e sonotrace_close_sized(sonotrace_session_t *session,
                                         sonotrace_counters_t *counters,
                                         size_t counters_bytes);

// The text of this thread's last failed call: what is wrong, the limit, the value seen. NUL-terminated UTF-8, empty if
// no call has failed; valid until the next failure on this thread.
const char *sonotrace_last_error(void);

// The name of a status, in lower case: static NUL-terminated ASCII.
const char *sonotrace_status_name(uint32_t status);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SONOTRACE_H */

/* The functions below are part of the caller: they tell the library the sizes that the caller was compiled with. */

/* Writes the settings for live scanning, and the sizes and the version of this header: newest frame only, 33 ms budget, a
 * 640 x 480 display, frames of up to 1 MiB. Returns SONOTRACE_STATUS_VERSION if this header is not that of the library. */
static inline sonotrace_status_e sonotrace_config_default(sonotrace_config_t *config) {
  sonotrace_status_e status = sonotrace_config_sized(config, (uint32_t)sizeof *config, SONOTRACE_ABI_VERSION);
  if (status == SONOTRACE_STATUS_OK) {
    config->descriptor_bytes = (uint32_t)sizeof(sonotrace_frame_descriptor_t);
    config->frame_slot_bytes = (uint32_t)sizeof(sonotrace_frame_slot_t);
    config->prompt_bytes = (uint32_t)sizeof(sonotrace_prompt_t);
    config->overlay_bytes = (uint32_t)sizeof(sonotrace_overlay_t);
    config->event_bytes = (uint32_t)sizeof(sonotrace_event_t);
  }
  return status;
}

/* Sets magic, version and size of a descriptor, and zeroes the rest. */
static inline sonotrace_status_e sonotrace_frame_descriptor_init(sonotrace_frame_descriptor_t *descriptor) {
  return sonotrace_frame_descriptor_sized(descriptor, sizeof *descriptor);
}

/* Reads the totals as of the last step: see sonotrace_counters_sized. */
static inline sonotrace_status_e sonotrace_counters(const sonotrace_session_t *session, sonotrace_counters_t *counters) {
  return sonotrace_counters_sized(session, counters, sizeof *counters);
}

/* Closes a session; `counters` may be null: see sonotrace_close_sized. */
static inline sonotrace_status_e sonotrace_close(sonotrace_session_t *session, sonotrace_counters_t *counters) {
  return sonotrace_close_sized(session, counters, sizeof *counters);
}
