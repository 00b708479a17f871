"use strict";

// The pictures come by number and without a name; what an answer is about, only the server knows.
const byId = (id) => document.getElementById(id);
const picture = byId("picture");
const buttons = [...document.querySelectorAll("#answers button")];
const keys = { 1: "possible", 2: "impossible", 3: "broken" };

let answers = [];  // of every picture: the answer, or null
let place = 0;  // the picture that is shown; answers.length: all are answered
let ready = false;  // the picture can be seen and no answer is on its way

const firstOpen = () => {
  const open = answers.indexOf(null);
  return open < 0 ? answers.length : open;
};

function say(text) {
  byId("message").textContent = text;
  byId("message").hidden = !text;
}

function update() {
  const done = place >= answers.length;
  const answered = answers.filter((answer) => answer !== null).length;
  byId("progress").textContent = done ? `${answered} of ${answers.length} answered` : `${place + 1} of ${answers.length}`;
  byId("bar").max = answers.length;
  byId("bar").value = answered;
  byId("done").hidden = !done;
  byId("answers").hidden = done;
  for (const button of buttons) {
    button.disabled = !ready;
    button.setAttribute("aria-pressed", String(!done && answers[place] === button.dataset.answer));
  }
  byId("back").disabled = place === 0;
  byId("forward").disabled = done || answers[place] === null;
}

function show(next) {
  place = next;
  ready = false;
  say("");
  picture.hidden = true;
  if (place < answers.length) {
    picture.alt = `Picture ${place + 1} of ${answers.length}`;
    picture.src = `picture/${place}`;
  }
  update();
}

picture.addEventListener("load", () => {
  picture.hidden = false;
  ready = true;
  update();
  if (place + 1 < answers.length) new Image().src = `picture/${place + 1}`;
});

picture.addEventListener("error", () => {
  say("This picture cannot be shown. The terminal of `varireal rate` says why; if it has ended, start it again.");
});

async function give(answer) {
  if (!ready || place >= answers.length) return;
  ready = false;
  update();
  try {
    const response = await fetch("answer", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ item: place, answer }),
    });
    if (!response.ok) throw new Error(await response.text());
  } catch (error) {
    ready = true;
    update();
    say(`This answer was not stored (${error.message}). Answer again; if varireal rate has ended, start it again.`);
    return;
  }
  answers[place] = answer;
  show(place + 1 < answers.length && answers[place + 1] !== null ? place + 1 : firstOpen());
}

function back() {
  if (place > 0) show(place - 1);
}

function forward() {
  if (place < answers.length && answers[place] !== null) show(place + 1);
}

document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  if (keys[event.key]) give(keys[event.key]);
  else if (event.key === "ArrowLeft" || event.key === "Backspace") back();
  else if (event.key === "ArrowRight") forward();
  else return;
  event.preventDefault();
});

for (const button of buttons) button.addEventListener("click", () => give(button.dataset.answer));
byId("back").addEventListener("click", back);
byId("forward").addEventListener("click", forward);

fetch("state").then((response) => response.json()).then((state) => {
  answers = state.answers;
  show(firstOpen());
}).catch(() => say("The list of pictures cannot be read. Start `varireal rate` again and open the address it prints."));
