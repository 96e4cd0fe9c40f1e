import './app.css'
import { mount } from 'svelte'
import App from './App.svelte'
import '$/stores/prefs.svelte'

const target = document.getElementById('app')
if (target) mount(App, { target })
